"""A cluster that is stopped, slow or away costs vLLM misses, never a wait, never a wrong token."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.engines.real.bed import Bed
from tests.engines.real.fleet import LOAD_DEADLINE_MS
from tests.engines.real.row import Case, Row
from tests.engines.real.tiny_model import prompt
from tests.engines.real.verdict import Verdict
from tests.engines.real.vllm_engine import Counted, Prompt

NODES_S = 60.0
GAP_S_MAX = 0.8
"""Between two tokens of a running request, with another's prompt computed beside it and two cores
for everything: far below every deadline of the connector that a wait would show."""
SLACK_S = 2.0


@contextlib.contextmanager
def _paused(bed: Bed, nodes: int) -> Iterator[None]:
    """Stops the first `nodes` data nodes meanwhile; afterwards the cluster is whole again."""
    victims = bed.cluster.data_nodes[:nodes]
    for victim in victims:
        victim.pause()
    try:
        yield
    finally:
        for victim in victims:
            victim.resume()
        bed.cluster.wait_for_nodes(len(bed.cluster.data_nodes), NODES_S)


def node_stopped(bed: Bed) -> Iterator[Row]:
    """A data node stops answering; requests that run go on decoding meanwhile."""
    fleet = bed.fleet
    running, asked = Prompt(prompt(200, 200)), Prompt(prompt(201, 1000))
    long = 700
    references = [fleet.references([running], long), fleet.references([asked])]
    fleet.stored(fleet.store, [asked])
    verdict = Verdict("vllm: running requests decode on while a node stands still")
    name = fleet.load.begin([running], long, tell_after=20)
    fleet.load.wait_for("decoding")
    with _paused(bed, 1):
        outputs = fleet.load.generate([asked])
        others = fleet.load.end(name)
    verdict.outputs(others, references[0])
    verdict.outputs(outputs, references[1])
    verdict.saw(f"longest gap {others[0].gap_s_max:.2f} s, the other's first token after "
                f"{outputs[0].first_s:.2f} s")  # fmt: skip
    verdict.holds(f"no gap above {GAP_S_MAX} s", others[0].gap_s_max <= GAP_S_MAX)
    yield verdict.row()
    yield _picked_up(bed, "vllm: hits again after the node goes on", 202)


def slower_than_deadline(bed: Bed) -> Iterator[Row]:
    """Every node answers too late: first lookups, then a load that is under way."""
    fleet = bed.fleet
    asked = [Prompt(prompt(210, 1000)), Prompt(prompt(211, 1000))]
    references = fleet.references(asked)
    fleet.stored(fleet.store, asked)
    limit_s = LOAD_DEADLINE_MS / 1000 + SLACK_S

    lookup = Verdict("vllm: lookups slower than their deadline")
    counted = Counted(fleet.load)
    with _paused(bed, len(bed.cluster.data_nodes)):
        outputs = fleet.load.generate(asked[:1])
    lookup.outputs(outputs, references[:1])
    lookup.hits(counted.external_hits(), 0)
    lookup.saw(f"first token after {outputs[0].first_s:.2f} s")
    lookup.holds(f"first token within {limit_s} s", outputs[0].first_s <= limit_s)
    _picked_up(bed, "", 212)

    yield lookup.row()
    load = Verdict("vllm: a load slower than its deadline")
    counted = Counted(fleet.load)
    with contextlib.ExitStack() as paused:
        nodes = _paused(bed, len(bed.cluster.data_nodes))
        name = fleet.load.begin_load(asked[1:], lambda: paused.enter_context(nodes))
        outputs = fleet.load.end(name)
    load.outputs(outputs, references[1:])
    load.saw(f"first token after {outputs[0].first_s:.2f} s")
    load.holds("blocks that came too late are counted",
               counted.grown().get("load_blocks_bad", 0) > 0)  # fmt: skip
    yield load.row()
    yield _picked_up(bed, "vllm: hits again after a slow time", 213)


def aborted(bed: Bed) -> Iterator[Row]:
    """A request is given up while its blocks are read; its memory is used by others meanwhile."""
    fleet = bed.fleet
    asked, others = Prompt(prompt(230, 1500)), [Prompt(prompt(seed, 900)) for seed in (231, 232)]
    references = fleet.references([asked, *others])
    fleet.stored(fleet.store, [asked])
    verdict = Verdict("vllm: a request aborted while its blocks are read")
    with contextlib.ExitStack() as paused:
        nodes = _paused(bed, len(bed.cluster.data_nodes))
        name = fleet.load.begin_load([asked], lambda: paused.enter_context(nodes))
        fleet.load.abort(name)
        verdict.outputs(fleet.load.generate(others), references[1:])
    verdict.outputs(fleet.load.generate(others), references[1:])
    verdict.outputs(fleet.load.generate([asked]), references[:1])
    yield verdict.row()
    yield _picked_up(bed, "vllm: hits again after an aborted load", 233)


def _picked_up(bed: Bed, name: str, seed: int) -> Row:
    """New blocks are stored and hit again; an engine tries at latest after its pause."""
    verdict = Verdict(name)
    prompts = bed.fleet.hits_again(bed.fleet.store, bed.fleet.load, seed)
    verdict.saw(f"{prompts} prompts until one was hit")
    return verdict.row()


def cluster_down(bed: Bed) -> Iterator[Row]:
    """An engine starts while its cluster is away, serves, and uses the cluster once it is there."""
    fleet = bed.fleet
    asked = [Prompt(prompt(220, 700)), Prompt(prompt(221, 700))]
    references = fleet.references(asked)
    layout = replace(bed.cluster.layout, data_nodes=2)
    directory = bed.directory / "late"
    with holdfast.LocalCluster(layout, directory) as seen:
        reach = {
            "address": seen.address,
            "tenant": seen.tenant,
            "key": f"file:{directory / 'tenant.key'}",
        }
    spec = fleet.spec(kv={**fleet.kv(), **reach}, prefix_caching=False)
    down = Verdict("vllm: started while the cluster is down")
    engine = fleet.start("late", spec)
    outputs = engine.generate(asked)
    down.outputs(outputs, references)
    down.hits(Counted(engine).external_hits(), 0)
    down.saw(f"first token after {outputs[0].first_s:.2f} s")
    with holdfast.LocalCluster(layout, directory):
        yield down.row()
        up = Verdict("vllm: the cluster comes up later and is picked up")
        fleet.hits_again(engine, engine, 222)
        fleet_blocks = Counted(engine)
        engine.generate(asked)
        wait_for("hits of what is stored by now", lambda: fleet.hits(engine, asked[0]), NODES_S)
        up.outputs(engine.generate(asked[:1]), references[:1])
        up.saw(f"{fleet_blocks.external_hits()} tokens hit")
    yield up.row()
    gone = Verdict("vllm: the cluster goes away again")
    outputs = engine.generate(asked)
    gone.outputs(outputs, references)
    gone.saw(f"first token after {outputs[0].first_s:.2f} s")
    yield gone.row()


CASES = [
    Case("vllm-node-stopped", "vllm", node_stopped, estimate_s=60),
    Case("vllm-aborted", "vllm", aborted, estimate_s=30),
    Case("vllm-slow", "vllm", slower_than_deadline, estimate_s=60),
    Case("vllm-cluster-down", "vllm", cluster_down, estimate_s=120),
]
