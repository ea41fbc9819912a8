"""The map's epoch is a function of the log that never falls."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import pairwise


class EpochsMonotonic:
    def __init__(self) -> None:
        self._seen: list[tuple[int, int]] = []

    def see(self, index: int, epoch: int) -> None:
        place = bisect_left(self._seen, (index, epoch))
        if place < len(self._seen) and self._seen[place] == (index, epoch):
            return
        insort(self._seen, (index, epoch))
        around = self._seen[max(0, place - 1) : place + 2]
        for (before, first), (after, second) in pairwise(around):
            assert first <= second, f"epoch fell from {first} to {second} after entry {before}"
            assert before != after, f"entry {index} led to epochs {first} and {second}"

    @property
    def newest(self) -> int:
        return self._seen[-1][1] if self._seen else 0
