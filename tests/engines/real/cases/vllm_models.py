"""vLLM with more than one worker, and with more than one kind of attention."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from holdfast.local_cluster.waiting import wait_for
from tests.engines.real.bed import Bed
from tests.engines.real.row import Case, Row
from tests.engines.real.stored_blocks import STORED_S, StoredBlocks
from tests.engines.real.tiny_model import prompt
from tests.engines.real.verdict import Verdict
from tests.engines.real.vllm_engine import Counted, EngineSpec, Prompt, VllmEngine

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
    Case("vllm-sliding-window", "vllm", sliding_window, estimate_s=120),
]
