"""vLLM keeps its KV cache in the cluster: what must hold whatever else does."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.local_cluster.waiting import wait_for
from tests.engines.real.bed import Bed
from tests.engines.real.row import Case, Row
from tests.engines.real.tiny_model import prompt
from tests.engines.real.verdict import Verdict
from tests.engines.real.vllm_engine import Counted, EngineSpec, Prompt

NODES_S = 60.0


def context_matters(bed: Bed) -> Iterator[Row]:
    """Changing the first token, or the first block, changes what comes after thousands."""
    verdict = Verdict("vllm: tokens depend on the first token of a context")
    tokens = prompt(1, 2000)
    others = [prompt(2, 1) + tokens[1:], prompt(2, 32) + tokens[32:]]
    one, *changed = bed.fleet.references([Prompt(tokens), *map(Prompt, others)])
    for what, output in zip(("token", "block"), changed, strict=True):
        equal = sum(a == b for a, b in zip(one.tokens, output.tokens, strict=True))
        verdict.saw(f"{equal} of {len(one.tokens)} tokens equal with another first {what}")
        verdict.holds(f"another first {what} changes most tokens", equal < len(one.tokens) // 2)
    yield verdict.row()


def fresh_process(bed: Bed) -> Iterator[Row]:
    """Store in one process, load in another that never computed those blocks."""
    prompts = [Prompt(prompt(seed, tokens)) for seed, tokens in ((10, 1000), (11, 2000), (12, 200))]
    references = bed.fleet.references(prompts)
    store = Verdict("vllm: store in one process")
    counted = Counted(bed.fleet.store)
    blocks = bed.fleet.stored(bed.fleet.store, prompts)
    store.hits(counted.external_hits(), 0)
    store.saw(f"{len(blocks.keys)} blocks stored")
    store.outputs(bed.fleet.store.generate(prompts), references)

    yield store.row()
    load = Verdict("vllm: load in a fresh process, asynchronous, no local cache")
    counted = Counted(bed.fleet.load)
    load.outputs(bed.fleet.load.generate(prompts), references)
    load.hits(counted.external_hits(), sum(each.hit_tokens for each in prompts))
    load.equal("local hits", counted.local_hits(), 0)
    yield load.row()


def node_killed(bed: Bed) -> Iterator[Row]:
    """A data node dies between the start of a load and its end."""
    fleet = bed.fleet
    asked = Prompt(prompt(20, 1500))
    references = fleet.references([asked])
    fleet.stored(fleet.store, [asked])
    verdict = Verdict("vllm: a data node killed while loading")
    victim = bed.cluster.data_nodes[1]
    counted = Counted(fleet.load)
    # It stands still first, so that the load does not end before it dies.
    name = fleet.load.begin_load([asked], victim.pause)
    victim.kill()
    outputs = fleet.load.end(name)
    verdict.outputs(outputs, references)
    grown = counted.grown()
    verdict.saw(f"counted {_bad(grown)}, first token after {outputs[0].first_s:.1f} s")
    verdict.holds("blocks that were not loaded are counted", grown.get("load_blocks_bad", 0) > 0)
    victim.restart()
    bed.cluster.wait_for_nodes(len(bed.cluster.data_nodes), NODES_S)

    yield verdict.row()
    after = Verdict("vllm: stores and loads after the node has come back")
    after.saw(f"{fleet.hits_again(fleet.store, fleet.load, 21)} prompts until one was hit")
    again = Prompt(prompt(22, 1000))
    wanted = fleet.references([again])
    fleet.stored(fleet.store, [again])
    counted = Counted(fleet.load)
    after.outputs(fleet.load.generate([again]), wanted)
    after.hits(counted.external_hits(), again.hit_tokens)
    yield after.row()


def flipped_byte(bed: Bed) -> Iterator[Row]:
    """A byte of a stored block changes in a data node's memory."""
    fleet = bed.fleet
    asked = Prompt(prompt(30, 1000))
    references = fleet.references([asked])
    blocks = fleet.stored(fleet.store, [asked])
    verdict = Verdict("vllm: a flipped byte in a stored block")
    copies = blocks.flip(bed.cluster, block=7)
    verdict.equal("copies flipped", copies, 1)
    counted = Counted(fleet.load)
    verdict.outputs(fleet.load.generate([asked]), references)
    grown = counted.grown()
    verdict.saw(f"counted {_bad(grown)}")
    verdict.holds("the corrupt block is counted", grown.get("load_bad/corrupt", 0) > 0)
    wait_for(
        "the node's own count",
        lambda: sum(node.load.corrupt for node in bed.cluster.admin.list_nodes().nodes) > 0,
        NODES_S,
    )
    yield verdict.row()


def two_tenants(bed: Bed) -> Iterator[Row]:
    """Another tenant's engine finds nothing, and what it stores is its own."""
    fleet = bed.fleet
    asked = Prompt(prompt(40, 1000))
    references = fleet.references([asked])
    fleet.stored(fleet.store, [asked])
    verdict = Verdict("vllm: two tenants share no block")
    key = bed.directory / "second.key"
    key.write_text(bed.cluster.admin.create_tenant("second").api_key)
    settings = {**fleet.kv(), "tenant": "second", "key": f"file:{key}"}
    other = fleet.changing(EngineSpec(fleet.full, settings, prefix_caching=False))
    counted = Counted(other)
    verdict.outputs(other.generate([asked]), references)
    verdict.hits(counted.external_hits(), 0)
    keys = wait_for("a put of the other tenant", other.puts, NODES_S)
    verdict.holds("the other tenant stores its own", bool(keys))
    yield verdict.row()


def _bad(grown: dict[str, float]) -> str:
    found = {name: int(value) for name, value in grown.items() if name.startswith("load_b")}
    return ", ".join(f"{name} {value}" for name, value in sorted(found.items())) or "nothing"


CASES = [
    Case("vllm-context", "vllm", context_matters, core=True),
    Case("vllm-fresh", "vllm", fresh_process, core=True),
    Case("vllm-node-killed", "vllm", node_killed, core=True),
    Case("vllm-flipped-byte", "vllm", flipped_byte, core=True),
    Case("vllm-two-tenants", "vllm", two_tenants, core=True),
]
