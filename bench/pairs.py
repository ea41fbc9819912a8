"""Pairs of adjacent samples: ours, limit, ours, limit, ... so that a ratio survives drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """One sample: how much of `amount` was done in `seconds`, for how many CPU seconds."""

    amount: float
    seconds: float
    cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        return self.amount / self.seconds


@dataclass(frozen=True)
class Pairs:
    """Samples of ours and of the limit, taken in turn."""

    ours: tuple[Sample, ...]
    limit: tuple[Sample, ...]

    def rate_ratios(self) -> list[float]:
        return [mine.rate / its.rate for mine, its in zip(self.ours, self.limit, strict=True)]

    def cpu_ratios(self) -> list[float]:
        """CPU seconds per amount, ours over the limit's."""
        return [
            (mine.cpu_s / mine.amount) / (its.cpu_s / its.amount)
            for mine, its in zip(self.ours, self.limit, strict=True)
        ]

    def rates_beside(self, unit: str, scale: float) -> dict[str, str]:
        """Median absolute rates as text."""
        ours = float(np.median([sample.rate for sample in self.ours])) * scale
        limit = float(np.median([sample.rate for sample in self.limit])) * scale
        return {"ours": f"{ours:.2f} {unit}", "limit": f"{limit:.2f} {unit}"}


def alternate(ours: Callable[[], Sample], limit: Callable[[], Sample], pairs: int) -> Pairs:
    """Takes `pairs` pairs after one warm-up of each."""
    ours()
    limit()
    mine: list[Sample] = []
    its: list[Sample] = []
    for _ in range(pairs):
        mine.append(ours())
        its.append(limit())
    return Pairs(tuple(mine), tuple(its))
