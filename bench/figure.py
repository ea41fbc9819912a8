"""One figure of the table: its name, its bound, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Bound:
    """What a figure must reach and what it aims at, in the figure's unit."""

    must: float
    aim: float
    at_least: bool = True

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
    def verdict(self) -> str:
        if self.bound is None:
            return ""
        if self.bound.is_aimed(self.median):
            return "aim"
        return "must" if self.bound.is_met(self.median) else "SHORT"

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
            "beside": self.beside,
        }
