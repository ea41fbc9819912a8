"""vLLM loads what another process stored, in every way that vLLM schedules."""

from __future__ import annotations

from collections.abc import Iterator

from tests.engines.real.bed import Bed
from tests.engines.real.row import Case, Row
from tests.engines.real.tiny_model import prompt
from tests.engines.real.verdict import Verdict
from tests.engines.real.vllm_engine import Counted, Prompt, VllmEngine

SMALL_CHUNK = 256
FEW_BLOCKS = 80
LONG_OUTPUT = 200


def local_cache(bed: Bed) -> Iterator[Row]:
    """With vLLM's own prefix cache beside: each token is found in one of both, not in both."""
    fleet = bed.fleet
    asked = Prompt(prompt(100, 1000))
    references = fleet.references([asked])
    blocks = fleet.stored(fleet.store, [asked])
    fleet.store.reset()

    empty = Verdict("vllm: asynchronous, local cache on but empty")
    counted = Counted(fleet.store)
    empty.outputs(fleet.store.generate([asked]), references)
    empty.hits(counted.external_hits(), asked.hit_tokens)

    yield empty.row()
    same = Verdict("vllm: loaded blocks are identical, byte for byte")
    pages = fleet.store.pages()
    wanted = blocks.digests()[: asked.hit_tokens // 32]
    same.equal("blocks that are in the engine as they were stored",
               sum(digest in pages for digest in wanted), len(wanted))  # fmt: skip
    same.holds("they differ from one another", len(set(wanted)) == len(wanted))

    yield same.row()
    warm = Verdict("vllm: the local cache comes first")
    counted = Counted(fleet.store)
    warm.outputs(fleet.store.generate([asked]), references)
    warm.hits(counted.external_hits(), 0)
    warm.equal("local hits", counted.local_hits(), asked.hit_tokens)

    yield warm.row()
    behind = Verdict("vllm: a load behind what the local cache has")
    longer = Prompt([*asked.tokens, *prompt(101, 1000)])
    wanted_outputs = fleet.references([longer])
    fleet.stored(fleet.load, [longer], present=asked.blocks)
    counted = Counted(fleet.store)
    behind.outputs(fleet.store.generate([longer]), wanted_outputs)
    behind.hits(counted.external_hits(), longer.hit_tokens - asked.hit_tokens)
    yield behind.row()


def conversation(bed: Bed) -> Iterator[Row]:
    """Blocks that became full while decoding are stored, too: the next turn finds them."""
    fleet = bed.fleet
    first = Prompt(prompt(110, 1000))
    (answer,) = fleet.references([first])
    blocks = fleet.stored(fleet.store, [first])
    full = (len(first.tokens) + len(answer.tokens) - 1) // 32
    verdict = Verdict("vllm: the next turn of a conversation")
    verdict.equal("blocks stored", len(blocks.keys), full)
    turn = Prompt([*first.tokens, *answer.tokens, *prompt(111, 50)])
    references = fleet.references([turn])
    counted = Counted(fleet.load)
    verdict.outputs(fleet.load.generate([turn]), references)
    verdict.hits(counted.external_hits(), full * 32)
    yield verdict.row()


def whole_blocks(bed: Bed) -> Iterator[Row]:
    """All of a prompt is stored: vLLM takes its last token back and computes that one."""
    fleet = bed.fleet
    asked = Prompt(prompt(115, 960))
    references = fleet.references([asked])
    fleet.stored(fleet.store, [asked])
    verdict = Verdict("vllm: a prompt of whole blocks, all of it stored")
    counted = Counted(fleet.load)
    verdict.outputs(fleet.load.generate([asked]), references)
    verdict.hits(counted.external_hits(), len(asked.tokens))
    yield verdict.row()


def synchronous(bed: Bed) -> Iterator[Row]:
    """Synchronous loads; chunked prefill; preemption for want of blocks."""
    fleet = bed.fleet
    engine = fleet.start(
        "sync",
        fleet.spec(
            kv=fleet.kv(load="sync"),
            batched_tokens=SMALL_CHUNK,
            blocks=FEW_BLOCKS,
            length=2048,
        ),
    )
    yield _synchronous(bed, engine)
    yield _chunked(bed, engine)
    yield _recomputed(bed, engine)
    yield from _preempted(bed, engine)


def _synchronous(bed: Bed, engine: VllmEngine) -> Row:
    fleet = bed.fleet
    asked = [Prompt(prompt(120, 1000)), Prompt(prompt(121, 333))]
    references = fleet.references(asked)
    fleet.stored(fleet.store, asked)
    verdict = Verdict("vllm: load in a fresh process, synchronous, local cache on")
    counted = Counted(engine)
    verdict.outputs(engine.generate(asked), references)
    verdict.hits(counted.external_hits(), sum(each.hit_tokens for each in asked))
    return verdict.row()


def _chunked(bed: Bed, engine: VllmEngine) -> Row:
    """Stored in chunks of 256 tokens, loaded by the process that computes 2048 at once."""
    fleet = bed.fleet
    asked = [Prompt(prompt(130, 1500))]
    references = fleet.references(asked)
    verdict = Verdict("vllm: chunked prefill stores, another process loads")
    fleet.stored(engine, asked)
    counted = Counted(fleet.load)
    verdict.outputs(fleet.load.generate(asked), references)
    verdict.hits(counted.external_hits(), asked[0].hit_tokens)
    return verdict.row()


def _recomputed(bed: Bed, engine: VllmEngine) -> Row:
    """A load that a step waited for fails in part: the step is done again without it."""
    fleet = bed.fleet
    asked = [Prompt(prompt(135, 1000)), Prompt(prompt(136, 500))]
    references = fleet.references(asked)
    fleet.stored(fleet.store, asked[1:])
    blocks = fleet.stored(fleet.store, asked[:1])
    verdict = Verdict("vllm: a flipped byte under a synchronous load")
    verdict.equal("copies flipped", blocks.flip(bed.cluster, block=3), 1)
    counted = Counted(engine)
    verdict.outputs(engine.generate(asked), references)
    corrupt = int(counted.grown().get("load_bad/corrupt", 0))
    verdict.saw(f"counted load_bad/corrupt {corrupt}")
    verdict.holds("the corrupt block is counted", corrupt > 0)
    return verdict.row()


def _preempted(bed: Bed, engine: VllmEngine) -> Iterator[Row]:
    fleet = bed.fleet
    asked = [Prompt(prompt(seed, 600)) for seed in range(140, 144)]
    references = fleet.references(asked, LONG_OUTPUT)
    fleet.stored(fleet.store, asked[:2])
    verdict = Verdict("vllm: preemption forced by a small KV cache")
    counted = Counted(engine)
    verdict.outputs(engine.generate(asked, LONG_OUTPUT), references)
    verdict.saw(f"{counted.preemptions()} preemptions")
    verdict.holds("requests were preempted", counted.preemptions() > 0)
    least = sum(each.hit_tokens for each in asked[:2])
    verdict.holds(f"at least {least} tokens hit", counted.external_hits() >= least)

    yield verdict.row()
    after = Verdict("vllm: nothing dangles after preemption")
    engine.reset()
    counted = Counted(engine)
    after.outputs(engine.generate(asked[:1]), fleet.references(asked[:1]))
    after.hits(counted.external_hits(), asked[0].hit_tokens)
    yield after.row()


def shared_space(bed: Bed) -> Iterator[Row]:
    """Two engines at work at once, each with what the other stores."""
    fleet = bed.fleet
    mine, theirs = Prompt(prompt(150, 1200)), Prompt(prompt(151, 1200))
    both = Prompt(prompt(152, 1200))
    references = fleet.references([mine, theirs, both])
    verdict = Verdict("vllm: two engines at once share a space")
    # The same prompt in both at the same time: whoever is second finds its blocks there.
    names = [(engine, engine.begin([both])) for engine in (fleet.store, fleet.load)]
    for engine, name in names:
        verdict.outputs(engine.end(name), references[2:])
    first = fleet.store.begin([mine])
    fleet.stored(fleet.load, [theirs])
    fleet.store.end(first)
    fleet.stored(fleet.store, [Prompt(prompt(153, 40))])
    counted = [Counted(fleet.store), Counted(fleet.load)]
    names = [(fleet.store, fleet.store.begin([theirs])), (fleet.load, fleet.load.begin([mine]))]
    verdict.outputs(names[0][0].end(names[0][1]), references[1:2])
    verdict.outputs(names[1][0].end(names[1][1]), references[:1])
    verdict.hits(counted[0].external_hits(), theirs.hit_tokens)
    verdict.hits(counted[1].external_hits(), mine.hit_tokens)
    yield verdict.row()


def wrong_blocks(bed: Bed) -> Iterator[Row]:
    """The negative control: with other valid blocks under the same keys tokens do change."""
    fleet = bed.fleet
    asked = Prompt(prompt(160, 1000))
    (reference,) = fleet.references([asked])
    fleet.stored(fleet.store, [asked]).swap()
    verdict = Verdict("vllm: negative control, wrong KV would change tokens")
    counted = Counted(fleet.load)
    (output,) = fleet.load.generate([asked])
    verdict.hits(counted.external_hits(), asked.hit_tokens)
    equal = sum(a == b for a, b in zip(output.tokens, reference.tokens, strict=True))
    verdict.saw(f"{equal} of {len(reference.tokens)} tokens equal, as it must be")
    verdict.holds("wrong KV changes most tokens", equal < len(reference.tokens) // 2)
    yield verdict.row()


CASES = [
    Case("vllm-wrong-blocks", "vllm", wrong_blocks, estimate_s=20),
    Case("vllm-local-cache", "vllm", local_cache, estimate_s=30),
    Case("vllm-conversation", "vllm", conversation, estimate_s=20),
    Case("vllm-whole-blocks", "vllm", whole_blocks, estimate_s=20),
    Case("vllm-sync", "vllm", synchronous, estimate_s=90),
    Case("vllm-shared-space", "vllm", shared_space, estimate_s=30),
]
