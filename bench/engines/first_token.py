"""Time to the first token: of a prompt that is new, in the cluster, in the engine's own cache.

A round asks the same prompt four times, so that neighbours are compared: new to the engine with
the connector and to the one without, then from the cluster, then from the engine's own cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.engines import pinned_model
from bench.engines.bed import BLOCK_TOKENS, Bed
from bench.engines.plot import draw
from bench.engines.resident import Answer, Resident
from bench.figure import Bound, Figure

CONFIDENCE = 0.9
MAIN_TOKENS = 2_048
_TAIL_TOKENS = 16
"""Behind the shared ones, less than a block: they are always computed."""
_OUTPUT_TOKENS = 8
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds to the first token of one prompt."""

    tokens: int
    """That can be found: the shared part of the prompt."""
    miss_s: float
    """New, with the connector."""
    plain_s: float
    """New, without a connector."""
    hit_s: float
    """From the cluster."""
    local_s: float
    """From the engine's own cache, with the connector."""
    wire_bytes_per_s: float
    """Of one raw TCP stream, just then."""

    @property
    def nbytes(self) -> int:
        """What a hit moves."""
        return self.tokens * pinned_model.KV_BYTES_PER_TOKEN

    @property
    def extra_vs_wire(self) -> float:
        """What a hit costs beyond a local one, in times of its bytes over raw TCP."""
        return (self.hit_s - self.local_s) / (self.nbytes / self.wire_bytes_per_s)


def measure(bed: Bed, rounds: Mapping[int, int], plots: Path) -> list[Figure]:
    """Figures at 2,048 tokens and ratios at the other lengths; draws `engines_ttft.png`.

    rounds: how many, by number of shared tokens.
    """
    taken = {}
    for tokens, count in rounds.items():
        take(bed, tokens, ours_first=True)
        taken[tokens] = [take(bed, tokens, ours_first=not turn % 2) for turn in range(count)]
    draw(taken, plots / "engines_ttft.png")
    return [
        *_main_figures(taken[MAIN_TOKENS]),
        *(_hit_figure(each, None) for tokens, each in taken.items() if tokens != MAIN_TOKENS),
    ]


def take(bed: Bed, tokens: int, *, ours_first: bool) -> Round:
    """One round. Raises RuntimeError if a hit was none, or changed what the engine answers."""
    prompt = bed.new_prompt(tokens + _TAIL_TOKENS)
    assert tokens % BLOCK_TOKENS == 0
    bed.ours.forget()
    bed.plain.forget()
    engines = [bed.ours, bed.plain] if ours_first else [bed.plain, bed.ours]
    new = {engine.name: _ask(engine, prompt) for engine in engines}
    bed.ours.forget()
    hit = _ask(bed.ours, prompt)
    local = _ask(bed.ours, prompt)
    miss, plain = new[bed.ours.name], new[bed.plain.name]
    _check("new, with the connector", miss, plain, external=0, local=0)
    _check("new, without", plain, plain, external=0, local=0)
    _check("stored in the cluster", hit, plain, external=tokens, local=0)
    _check("in the engine's own cache", local, plain, external=0, local=tokens)
    return Round(
        tokens, miss.first_s, plain.first_s, hit.first_s, local.first_s, bed.wire.bytes_per_s()
    )


def _ask(engine: Resident, prompt: Sequence[int]) -> Answer:
    return engine.ask([prompt], _OUTPUT_TOKENS)


def _check(what: str, answer: Answer, plain: Answer, *, external: int, local: int) -> None:
    seen = (answer.external_hits, answer.local_hits)
    if seen != (external, local):
        raise RuntimeError(
            f"a prompt {what}: {seen[0]} tokens from the cluster and {seen[1]} of its own cache, "
            f"not {external} and {local}; counted: {dict(answer.grown_until_drained)}"
        )
    if answer.tokens != plain.tokens:
        raise RuntimeError(f"a prompt {what}: {answer.tokens}, not {plain.tokens}")


def _main_figures(rounds: Sequence[Round]) -> list[Figure]:
    wire = np.median([each.wire_bytes_per_s for each in rounds])
    extra = np.median([each.hit_s - each.local_s for each in rounds])
    return [
        _hit_figure(rounds, Bound(0.35, 0.2, False, CONFIDENCE)),
        Figure(
            "ttft_hit_extra_vs_wire",
            "",
            [each.extra_vs_wire for each in rounds],
            Bound(3, 1.5, False, CONFIDENCE),
            {
                "hit - local": _ms(extra),
                "local": _ms(np.median([each.local_s for each in rounds])),
                "moved": f"{rounds[0].nbytes / _MIB:.0f} MiB",
                "raw TCP": f"{wire / 1e9:.2f} GB/s",
            },
        ),
        Figure(
            "ttft_miss_overhead",
            "",
            [each.miss_s / each.plain_s for each in rounds],
            Bound(1.08, 1.02, False, CONFIDENCE),
            {
                "with": _ms(np.median([each.miss_s for each in rounds])),
                "without": _ms(np.median([each.plain_s for each in rounds])),
            },
        ),
    ]


def _hit_figure(rounds: Sequence[Round], bound: Bound | None) -> Figure:
    tokens = rounds[0].tokens
    length = f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)
    return Figure(
        f"ttft_hit_vs_recompute_{length}",
        "",
        [each.hit_s / each.plain_s for each in rounds],
        bound,
        {
            "hit": _ms(np.median([each.hit_s for each in rounds])),
            "recompute": _ms(np.median([each.plain_s for each in rounds])),
            "local": _ms(np.median([each.local_s for each in rounds])),
        },
    )


def _ms(seconds: float | np.floating) -> str:
    return f"{float(seconds) * 1e3:.0f} ms"
