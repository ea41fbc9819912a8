"""Decoding while blocks are stored, against an engine without a connector; and the hooks' CPU."""

from __future__ import annotations

import numpy as np

from bench.engines.bed import BLOCK_TOKENS, Bed
from bench.engines.first_token import CONFIDENCE
from bench.engines.resident import Answer, Resident
from bench.figure import Bound, Figure

REQUESTS = 4
PROMPT_TOKENS = 15 * BLOCK_TOKENS
"""Of each request: all of them are computed in one step, and stored while they decode."""
_HOOKS = ("hook_seconds/scheduler", "hook_seconds/worker")


def measure(bed: Bed, pairs: int, tokens: int) -> list[Figure]:
    """Throughput of four requests that decode `tokens` each, and what hooks took in each step."""
    _ask(bed, bed.ours, tokens)
    _ask(bed, bed.plain, tokens)
    ours: list[Answer] = []
    plain: list[Answer] = []
    for turn in range(pairs):
        for engine in (bed.plain, bed.ours) if turn % 2 else (bed.ours, bed.plain):
            (ours if engine is bed.ours else plain).append(_ask(bed, engine, tokens))
    rates = [(tokens_per_s(mine), tokens_per_s(its)) for mine, its in zip(ours, plain, strict=True)]
    stored = sum(answer.grown_until_drained.get("save_blocks_good", 0) for answer in ours)
    least = pairs * REQUESTS * (PROMPT_TOKENS // BLOCK_TOKENS)
    if stored < least:
        raise RuntimeError(f"{stored:.0f} blocks were stored, at least {least} were expected")
    return [
        Figure(
            "decode_vs_no_connector",
            "",
            [mine / its for mine, its in rates],
            Bound(0.92, 0.98, True, CONFIDENCE),
            {
                "with": f"{np.median([mine for mine, _ in rates]):.0f} tokens/s",
                "without": f"{np.median([its for _, its in rates]):.0f} tokens/s",
                "requests": str(REQUESTS),
                "stored": f"{stored / pairs:.0f} blocks a run",
            },
        ),
        Figure(
            "connector_us_per_step",
            "us",
            [sum(_hook_us(answer, hook) for hook in _HOOKS) for answer in ours],
            None,
            {
                "aim": "200 us",
                "scheduler": f"{np.median([_hook_us(each, _HOOKS[0]) for each in ours]):.0f} us",
                "worker": f"{np.median([_hook_us(each, _HOOKS[1]) for each in ours]):.0f} us",
                "step": f"{np.median([_step_ms(each) for each in ours]):.1f} ms",
            },
        ),
    ]


def tokens_per_s(answer: Answer) -> float:
    """Tokens of all requests while all of them decode: from the moment at which each has its
    first until one has its last."""
    begin = max(times[0] for times in answer.times)
    end = min(times[-1] for times in answer.times)
    made = sum(begin < at <= end for times in answer.times for at in times)
    return made / (end - begin)


def _ask(bed: Bed, engine: Resident, tokens: int) -> Answer:
    engine.forget()
    answer = engine.ask([bed.new_prompt(PROMPT_TOKENS) for _ in range(REQUESTS)], tokens)
    if answer.external_hits or answer.local_hits:
        raise RuntimeError("new prompts were found in a cache")
    return answer


def _hook_us(answer: Answer, hook: str) -> float:
    return answer.grown.get(hook, 0.0) / answer.steps * 1e6


def _step_ms(answer: Answer) -> float:
    return float(np.median(np.diff(answer.times[0]))) * 1e3
