"""One figure of the table: its name, its bound, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 10_000
_SEED = 2026


@dataclass(frozen=True)
class Bound:
    """What a figure must reach and what it aims at, in the figure's unit.

    confidence: None, and the median must meet it; or 0.9, say, and the one-sided confidence bound
    of the median on the unwelcome side must.
    """

    must: float
    aim: float
    at_least: bool = True
    confidence: float | None = None

    def is_met(self, value: float) -> bool:
        return value >= self.must if self.at_least else value <= self.must

    def is_aimed(self, value: float) -> bool:
        return value >= self.aim if self.at_least else value <= self.aim

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.must:g}"


@dataclass(frozen=True)
class Figure:
    """A measured figure.

    values: one value a run (for a ratio: one a pair), in `unit`.
    beside: what a reader wants next to it, absolute values for a ratio, by label.
    """

    name: str
    unit: str
    values: Sequence[float]
    bound: Bound | None
    beside: dict[str, str]

    @property
    def median(self) -> float:
        return float(np.median(self.values))

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = np.quantile(self.values, [0.25, 0.75])
        return float(low), float(high)

    @property
    def confidence_bound(self) -> float | None:
        """The median of so many resampled runs in a hundred is no worse than this; None where the
        bound asks for no confidence. The same values give the same answer."""
        if self.bound is None or self.bound.confidence is None:
            return None
        random = np.random.default_rng(_SEED)
        values = np.asarray(self.values, dtype=np.float64)
        medians = np.median(random.choice(values, (_RESAMPLES, len(values))), axis=1)
        share = 1 - self.bound.confidence if self.bound.at_least else self.bound.confidence
        return float(np.quantile(medians, share))

    @property
    def verdict(self) -> str:
        if self.bound is None:
            return ""
        sure = self.confidence_bound
        if not self.bound.is_met(self.median if sure is None else sure):
            return "SHORT"
        return "aim" if self.bound.is_aimed(self.median) else "must"

    def as_json(self) -> dict[str, object]:
        low, high = self.quartiles
        return {
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "quartiles": [low, high],
            "runs": len(self.values),
            "unit": self.unit,
            "must": None if self.bound is None else str(self.bound),
            "aim": None if self.bound is None else self.bound.aim,
            **self._confidence_as_json(),
            "beside": self.beside,
        }

    def _confidence_as_json(self) -> dict[str, object]:
        sure = self.confidence_bound
        if self.bound is None or sure is None:
            return {}
        return {"confidence": self.bound.confidence, "confidence_bound": sure}
