"""vLLM with more than one worker, and with more than one kind of attention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from holdfast.local_cluster.waiting import wait_for
from tests.engines.real.bed import Bed
from tests.engines.real.row import Case, Row
from tests.engines.real.stored_blocks import STORED_S, StoredBlocks
from tests.engines.real.tiny_conv_model import make_conv_model
from tests.engines.real.tiny_model import prompt
from tests.engines.real.verdict import Verdict
from tests.engines.real.vllm_engine import Counted, EngineSpec, Output, Prompt, VllmEngine

WINDOW = 128


def tensor_parallel(bed: Bed) -> Iterator[Row]:
    """Two workers, each with half of the heads; a prefix is as long as its shortest shard."""
    fleet = bed.fleet
    asked = [Prompt(prompt(400, 1000)), Prompt(prompt(401, 500))]
    references = fleet.references(asked)
    engine = fleet.start("parallel", fleet.spec(workers=2, prefix_caching=False))
    before = _blocks_stored(bed)
    store = Verdict("vllm: tensor parallel 2 stores")
    counted = Counted(engine)
    store.outputs(engine.generate(asked), references)
    store.hits(counted.external_hits(), 0)
    wanted = 2 * sum(each.blocks for each in asked)
    wait_for("store of both shards", lambda: _blocks_stored(bed) >= before + wanted, STORED_S)
    store.saw(f"{_blocks_stored(bed) - before} blocks of both shards")
    yield store.row()
    load = Verdict("vllm: tensor parallel 2 loads")
    counted = Counted(engine)
    load.outputs(engine.generate(asked), references)
    load.hits(counted.external_hits(), sum(each.hit_tokens for each in asked))
    yield load.row()


def sliding_window(bed: Bed) -> Iterator[Row]:
    """Two of three layers look back 128 tokens: three KV groups, two of them windows."""
    fleet = bed.fleet
    model = fleet.model("window", layers=6, sliding_window=WINDOW)
    asked = [Prompt(prompt(410, 1000)), Prompt(prompt(411, 600))]
    references = fleet.references(asked, model=model)
    spec = EngineSpec(model, fleet.kv())
    first = fleet.start("window", spec)
    before = _blocks_stored(bed)
    store = Verdict("vllm: a model with sliding windows stores")
    store.outputs(first.generate(asked), references)
    # Of the windows' groups at least the last blocks, of the full one all.
    least = sum(each.blocks for each in asked)
    wait_for("store of its blocks", lambda: _blocks_stored(bed) >= before + least, STORED_S)
    store.saw(f"{_settled_blocks(bed, first) - before} blocks of three groups")
    yield store.row()
    load = Verdict("vllm: a model with sliding windows loads in a fresh process")
    second = fleet.start("window-load", spec)
    counted = Counted(second)
    load.outputs(second.generate(asked), references)
    load.hits(counted.external_hits(), sum(each.hit_tokens for each in asked))
    yield load.row()
    yield _window_damaged(bed, model, first, second)


def last_state(bed: Bed) -> Iterator[Row]:
    """Every second layer keeps a state: of a prefix only its last one is needed, and exists.

    vLLM on a CPU answers a little differently for such a model where a prompt is cut elsewhere.
    So prompts come one by one, and what is loaded is compared with what vLLM makes of the same
    prefix out of its own cache.
    """
    fleet = bed.fleet
    model = fleet.model("conv", make_conv_model)
    asked = [Prompt(prompt(420, 1000)), Prompt(prompt(421, 640)), Prompt(prompt(422, 3000))]
    other = [Prompt([*asked[0].tokens[: asked[0].hit_tokens], *prompt(423, 200)])]
    plain = fleet.changing(EngineSpec(model))
    computed, cached = _one_by_one(plain, asked), _one_by_one(plain, asked)
    own = Counted(plain)
    branched, own_hits = plain.generate(other), own.local_hits()
    spec = EngineSpec(model, fleet.kv())
    first = fleet.changing(spec)
    before = _blocks_stored(bed)
    store = Verdict("vllm: a model with recurrent states stores")
    store.outputs(_one_by_one(first, asked), computed)
    least = sum(each.blocks for each in asked) + len(asked)
    wait_for("store of its blocks", lambda: _blocks_stored(bed) >= before + least, STORED_S)
    store.saw(f"{_settled_blocks(bed, first) - before} blocks of both groups")
    yield store.row()
    load = Verdict("vllm: a model with recurrent states loads in a fresh process")
    second = fleet.start("states-load", spec)
    counted = Counted(second)
    load.outputs(_one_by_one(second, asked), cached)
    load.hits(counted.external_hits(), sum(each.hit_tokens for each in asked))
    yield load.row()
    branch = Verdict("vllm: another prompt branches off at a stored state")
    second.reset()
    counted = Counted(second)
    branch.outputs(second.generate(other), branched)
    branch.equal("hits of vLLM's own cache", own_hits, asked[0].hit_tokens)
    branch.hits(counted.external_hits(), asked[0].hit_tokens)
    yield branch.row()


def _one_by_one(engine: VllmEngine, asked: Sequence[Prompt]) -> list[Output]:
    return [output for each in asked for output in engine.generate([each])]


def _window_damaged(bed: Bed, model: Path, first: VllmEngine, second: VllmEngine) -> Row:
    """With several groups a load that fails is told as a whole, and the prompt computed anew."""
    fleet = bed.fleet
    asked = [Prompt(prompt(412, 1000))]
    references = fleet.references(asked, model=model)
    before = len(first.puts())
    first.generate(asked)
    wait_for("its puts", lambda: len(first.puts()) > before + 2, STORED_S)
    puts = first.puts()[before:]
    of_one = [put for put in puts if put["space"] == puts[0]["space"]]
    blocks = StoredBlocks.of_puts(fleet.client, of_one)
    blocks.wait_until_stored()
    verdict = Verdict("vllm: a flipped byte in a block of a sliding window model")
    # The last full blocks are those that every group needs.
    verdict.equal("copies flipped", blocks.flip(bed.cluster, block=len(blocks.keys) - 3), 1)
    counted = Counted(second)
    verdict.outputs(second.generate(asked), references)
    corrupt = int(counted.grown().get("load_bad/corrupt", 0))
    verdict.saw(f"counted load_bad/corrupt {corrupt}")
    verdict.holds("the corrupt block is counted", corrupt > 0)
    return verdict.row()


def _settled_blocks(bed: Bed, engine: VllmEngine) -> int:
    """Blocks in the cluster, once all keys that `engine` has put are there."""
    puts = engine.puts()
    for space in sorted({put["space"] for put in puts}):
        of_space = [put for put in puts if put["space"] == space]
        keys = [bytes.fromhex(key) for put in of_space for key in put["keys"]]
        StoredBlocks(bed.fleet.client.space(space), keys).wait_until_stored()
    return _blocks_stored(bed)


def _blocks_stored(bed: Bed) -> int:
    return sum(node.load.blocks for node in bed.cluster.admin.list_nodes().nodes)


CASES = [
    Case("vllm-tensor-parallel", "vllm", tensor_parallel, estimate_s=120),
    Case("vllm-last-state", "vllm", last_state, estimate_s=120),
    Case("vllm-sliding-window", "vllm", sliding_window, estimate_s=120),
]
