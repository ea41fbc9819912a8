"""SGLang: its cache controller, threads and host pools, on the CPU, have their storage in Holdfast.

Two driver processes: one stores, the other starts with nothing and loads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.local_cluster.waiting import wait_for
from tests.engines.real.bed import Bed, Driven
from tests.engines.real.row import Case, Row
from tests.engines.real.tiny_model import make_model
from tests.engines.real.verdict import Verdict

ENGINE = "sglang"
DRIVER = "sglang_cache"
PAGE_TOKENS = 16
PAGES = 20
WINDOW_PAGES = 2
LAYOUTS = ("layer_first", "page_first", "page_first_direct")
NODES_S = 60.0
DEADLINES = {"lookup_deadline_ms": 500, "load_deadline_ms": 2_000, "save_deadline_ms": 2_000}
SLACK_S = 2.0


class Side:
    """One driver process, asked one thing after the other."""

    def __init__(self, bed: Bed, model: str) -> None:
        self._driven: Driven | None = None
        self._bed = bed
        self._model = model

    def open(self, name: str, kind: str, layout: str, rank: int = 0, ranks: int = 1) -> Any:
        """Caches of one rank; see the driver."""
        backend = {"module_path": "holdfast.engines.sglang", "class_name": "HoldfastStorage"}
        config = {"backend_name": "holdfast", **backend, "interface_v1": 1, "space": "sglang"}
        asked = {
            "do": "open",
            "name": name,
            "kind": kind,
            "layout": layout,
            "rank": rank,
            "ranks": ranks,
            "model": self._model,
            "config": {**config, **DEADLINES, "start_wait_ms": 20_000, **self._bed.reach},
        }
        if self._driven is None:
            self._driven = self._bed.start(ENGINE, DRIVER, asked)
            return self._driven.next_result()
        return self._asked(asked)

    def ask(self, do: str, name: str, **more: Any) -> Any:
        """One request to caches that are open."""
        return self._asked({"do": do, "name": name, **more})

    def _asked(self, request: dict[str, Any]) -> Any:
        assert self._driven is not None
        self._driven.say(request)
        return self._driven.next_result()


def run(bed: Bed) -> Iterator[Row]:
    """All rows."""
    model = bed.directory / "sglang-model"
    make_model(model, layers=1, hidden=128)
    storing, loading = Side(bed, str(model)), Side(bed, str(model))
    yield _store_fresh_load(storing, loading)
    yield _several_pools(storing, loading)
    yield _latents_once(storing, loading)
    yield _node_killed(bed, storing, loading)


def _store_fresh_load(storing: Side, loading: Side) -> Row:
    verdict = Verdict("sglang_store_fresh_load_identical")
    kinds = [(kind, layout) for kind in ("mha", "mla") for layout in LAYOUTS]
    hits = 0
    for prompt, (kind, layout) in enumerate(kinds, 100):
        name = f"{kind} {layout}"
        storing.open(name, kind, layout)
        stored = storing.ask("store", name, prompt=prompt, pages=PAGES, seed=name)
        verdict.equal(f"tokens stored, {name}", stored["tokens"], PAGES * PAGE_TOKENS)
        loading.open(name, kind, layout)
        found = loading.ask("fetch", name, prompt=prompt, pages=PAGES + 3)
        verdict.equal(f"pages, {name}", found["pages"], stored["pages"])
        verdict.holds(f"pages differ from one another, {name}", len(set(found["pages"])) == PAGES)
        missing = loading.ask("fetch", name, prompt=prompt + 50, pages=PAGES)
        verdict.equal(f"hits of what nobody stored, {name}", missing["hit"], 0)
        hits += found["hit"]
        told = loading.ask("counters", name)
        verdict.equal(f"pages in SGLang's own metrics, {name}", told["prefetched"], PAGES)
    verdict.hits(hits, len(kinds) * PAGES * PAGE_TOKENS)
    return verdict.row()


def _several_pools(storing: Side, loading: Side) -> Row:
    """A model with a sliding window: a pool whose last pages must be there as well."""
    verdict = Verdict("sglang_hybrid_pools_identical")
    storing.open("hybrid", "hybrid", "page_first")
    stored = storing.ask("store", "hybrid", prompt=200, pages=PAGES, seed="hybrid")
    verdict.equal("tokens stored", stored["tokens"], PAGES * PAGE_TOKENS)
    loading.open("hybrid", "hybrid", "page_first")
    found = loading.ask("fetch", "hybrid", prompt=200, pages=PAGES)
    verdict.hits(found["hit"], PAGES * PAGE_TOKENS)
    verdict.equal("pages", found["pages"], stored["pages"])
    verdict.equal("window", found["window"], stored["window"])
    verdict.equal("pages of the window", found["window_hits"], WINDOW_PAGES)
    shorter = loading.ask("fetch", "hybrid", prompt=200, pages=PAGES - 1)
    verdict.equal("hits where the window is not stored", shorter["hit"], 0)
    return verdict.row()


def _latents_once(storing: Side, loading: Side) -> Row:
    """Two ranks of a model whose KV every rank holds: one stores, both load."""
    verdict = Verdict("sglang_mla_stored_once")
    first = storing.open("latents", "mla", "page_first", rank=0, ranks=2)
    second = loading.open("latents", "mla", "page_first", rank=1, ranks=2)
    verdict.equal("ranks that skip backups", (first["skips_backup"], second["skips_backup"]),
                  (False, True))  # fmt: skip
    loading.ask("store", "latents", prompt=300, pages=PAGES, seed="latents")
    nothing = loading.ask("fetch", "latents", prompt=300, pages=PAGES)
    verdict.equal("hits after the second rank's backup", nothing["hit"], 0)
    stored = storing.ask("store", "latents", prompt=300, pages=PAGES, seed="latents")
    found = loading.ask("fetch", "latents", prompt=300, pages=PAGES)
    verdict.hits(found["hit"], PAGES * PAGE_TOKENS)
    verdict.equal("pages", found["pages"], stored["pages"])
    saves = [
        side.ask("counters", "latents").get("save_blocks_good", 0) for side in (storing, loading)
    ]
    verdict.equal("blocks that each rank stored", saves, [PAGES, 0])
    return verdict.row()


def _node_killed(bed: Bed, storing: Side, loading: Side) -> Row:
    verdict = Verdict("sglang_node_killed")
    name, prompts = "mha page_first", range(400, 408)
    stored = {
        prompt: storing.ask("store", name, prompt=prompt, pages=PAGES, seed=str(prompt))
        for prompt in prompts
    }
    victim = bed.cluster.data_nodes[0]
    victim.kill()
    try:
        slowest, hits = 0.0, 0
        for prompt in prompts:
            found = loading.ask("fetch", name, prompt=prompt, pages=PAGES)
            hits += len(found["pages"])
            slowest = max(slowest, found["seconds"])
            wanted = stored[prompt]["pages"][: len(found["pages"])]
            verdict.equal(f"pages of prompt {prompt}", found["pages"], wanted)
        again = storing.ask("store", name, prompt=450, pages=PAGES, seed="450")
        limit_s = sum(DEADLINES.values()) / 1000 + SLACK_S
        verdict.holds(f"no fetch above {limit_s} s", slowest <= limit_s)
        verdict.holds(f"no backup above {limit_s} s", again["seconds"] <= limit_s)
        verdict.holds("some pages are misses", hits < len(prompts) * PAGES)
        verdict.saw(f"{hits} of {len(prompts) * PAGES} pages, slowest fetch {slowest:.2f} s, "
                    f"backup {again['seconds']:.2f} s")  # fmt: skip
    finally:
        victim.start()
        bed.cluster.wait_for_nodes(len(bed.cluster.data_nodes), NODES_S)
    wait_for("a backup that is whole again", lambda: _whole(storing, name), NODES_S)
    found = loading.ask("fetch", name, prompt=460, pages=PAGES)
    verdict.equal("hits once the node is back", found["hit"], PAGES * PAGE_TOKENS)
    for side in (storing, loading):
        verdict.holds("SGLang's threads are alive", side.ask("close", name)["threads_alive"])
    return verdict.row()


def _whole(storing: Side, name: str) -> bool:
    told = storing.ask("store", name, prompt=460, pages=PAGES, seed="460")
    return bool(told["tokens"] == PAGES * PAGE_TOKENS)


CASES = [Case("sglang", ENGINE, run, estimate_s=60.0)]
