"""Blocks of other bytes, or of somebody else, are never shared."""

from __future__ import annotations

from collections.abc import Iterator

from tests.engines.real.bed import Bed
from tests.engines.real.row import Case, Row
from tests.engines.real.tiny_model import make_model, prompt
from tests.engines.real.verdict import Verdict
from tests.engines.real.vllm_engine import Counted, EngineSpec, Prompt


def two_salts(bed: Bed) -> Iterator[Row]:
    """A prompt's salt is part of its keys."""
    fleet = bed.fleet
    tokens = prompt(300, 1000)
    one, two = Prompt(tokens, "one"), Prompt(tokens, "two")
    references = fleet.references([Prompt(tokens)])
    fleet.stored(fleet.store, [one])
    verdict = Verdict("vllm: two cache salts share no block")
    counted = Counted(fleet.load)
    verdict.outputs(fleet.load.generate([two]), references)
    verdict.outputs(fleet.load.generate([Prompt(tokens)]), references)
    verdict.hits(counted.external_hits(), 0)
    yield verdict.row()
    same = Verdict("vllm: the same cache salt shares blocks")
    counted = Counted(fleet.load)
    same.outputs(fleet.load.generate([one]), references)
    same.hits(counted.external_hits(), one.hit_tokens)
    yield same.row()


def two_dtypes(bed: Bed) -> Iterator[Row]:
    """The same weights computed in another type."""
    fleet = bed.fleet
    asked = Prompt(prompt(310, 1000))
    fleet.stored(fleet.store, [asked])
    references = fleet.references([asked], dtype="bfloat16")
    verdict = Verdict("vllm: two data types share no block")
    spec = EngineSpec(fleet.full, fleet.kv(), prefix_caching=False, dtype="bfloat16")
    engine = fleet.changing(spec)
    counted = Counted(engine)
    fleet.stored(engine, [asked])
    verdict.hits(counted.external_hits(), 0)
    again = Counted(engine)
    outputs = engine.generate([asked])
    verdict.equal("hits of its own", again.external_hits(), asked.hit_tokens)
    # Half precision is not compared by log-probability: a prefix that is there moves them.
    equal = outputs[0].tokens == references[0].tokens
    verdict.saw(f"tokens {'equal' if equal else 'not equal'} to those without Holdfast")
    yield verdict.row()


def other_weights(bed: Bed) -> Iterator[Row]:
    """Other weights under the same path; the same weights under another."""
    fleet = bed.fleet
    asked = Prompt(prompt(320, 1000))
    path = make_model(bed.directory / "served", seed=5)
    spec = EngineSpec(path, fleet.kv(), prefix_caching=False)
    engine = fleet.changing(spec)
    fleet.stored(engine, [asked])
    changed = make_model(bed.directory / "changed", seed=6)
    references = fleet.references([asked], model=changed)

    other = Verdict("vllm: other weights under the same path share no block")
    make_model(path, seed=6)
    engine = fleet.changing(spec)
    counted = Counted(engine)
    other.outputs(engine.generate([asked]), references)
    other.hits(counted.external_hits(), 0)

    moved = make_model(bed.directory / "moved", seed=5)
    yield other.row()
    same = Verdict("vllm: the same weights under another path share blocks")
    references = fleet.references([asked], model=moved)
    engine = fleet.changing(EngineSpec(moved, fleet.kv(), prefix_caching=False))
    counted = Counted(engine)
    same.outputs(engine.generate([asked]), references)
    same.hits(counted.external_hits(), asked.hit_tokens)
    yield same.row()


def weights_in_place(bed: Bed) -> Iterator[Row]:
    """Weights are replaced in a running engine; nobody tells the connector."""
    fleet = bed.fleet
    asked = Prompt(prompt(330, 1000))
    first = make_model(bed.directory / "first", seed=7)
    second = make_model(bed.directory / "second", seed=8)
    references = fleet.references([asked], model=second)
    engine = fleet.changing(EngineSpec(first, fleet.kv()))
    fleet.stored(engine, [asked])
    replaced = Verdict("vllm: weights replaced in place share no block with the old ones")
    engine.reload(second)
    counted = Counted(engine)
    replaced.outputs(engine.generate([asked]), references)
    # vLLM counts what was offered before the worker could say so in its next step.
    replaced.equal("blocks loaded", counted.grown().get("load_blocks_good", 0.0), 0.0)
    yield replaced.row()
    kept = Verdict("vllm: what is stored after that is hit, and by nobody else")
    puts = len(engine.puts())
    engine.reset()
    fleet.stored(engine, [asked])
    spaces = {put["space"] for put in engine.puts()[puts:]}
    kept.equal("old spaces written", spaces & {put["space"] for put in engine.puts()[:puts]}, set())
    engine.reset()
    counted = Counted(engine)
    kept.outputs(engine.generate([asked]), references)
    kept.hits(counted.external_hits(), asked.hit_tokens)
    yield kept.row()


CASES = [
    Case("vllm-two-salts", "vllm", two_salts, estimate_s=20),
    Case("vllm-two-dtypes", "vllm", two_dtypes, estimate_s=60),
    Case("vllm-weights-in-place", "vllm", weights_in_place, estimate_s=60),
    Case("vllm-other-weights", "vllm", other_weights, estimate_s=60),
]
