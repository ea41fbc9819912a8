"""`vllm serve`, asked over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.local_cluster.waiting import wait_for
from tests.engines.real.bed import Bed
from tests.engines.real.row import Case, Row
from tests.engines.real.tiny_model import prompt
from tests.engines.real.verdict import Verdict
from tests.engines.real.vllm_engine import Counted, Prompt

COUNTED_S = 30.0


def over_http(bed: Bed) -> Iterator[Row]:
    """A server loads what the offline engine stored, and the other way round."""
    fleet = bed.fleet
    theirs, mine = Prompt(prompt(500, 1000)), Prompt(prompt(501, 810))
    references = fleet.references([theirs, mine])
    fleet.stored(fleet.store, [theirs])
    server = fleet.start("serve", fleet.spec(), driver="vllm_serve")
    load = Verdict("vllm serve: loads over HTTP what an offline engine stored")
    counted = Counted(server)
    load.outputs(server.generate([theirs]), references[:1])
    # The endpoint's sums are those of the last report of its engine process.
    wait_for("the endpoint's count", lambda: counted.external_hits() > 0, COUNTED_S)
    load.hits(counted.external_hits(), theirs.hit_tokens)
    names = [name for name in server.counters() if "holdfast" in name]
    load.saw(f"{len(names)} counters of Holdfast at its endpoint")
    load.holds("Holdfast's counters at its Prometheus endpoint", bool(names))

    yield load.row()
    store = Verdict("vllm serve: stores what an offline engine loads")
    store.outputs(server.generate([mine]), references[1:])

    def hit() -> int:
        counted = Counted(fleet.load)
        fleet.load.generate([mine], 1)
        return counted.external_hits()

    wait_for("a hit of all blocks", lambda: hit() == mine.hit_tokens, COUNTED_S)
    counted = Counted(fleet.load)
    store.outputs(fleet.load.generate([mine]), references[1:])
    store.hits(counted.external_hits(), mine.hit_tokens)
    yield store.row()


CASES = [Case("vllm-serve", "vllm", over_http, estimate_s=150)]
