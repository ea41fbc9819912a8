"""A move too large for one call, as calls that follow one another."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from threading import RLock

import numpy as np

from holdfast.engines.started import Outcome, Started

_AT_ONCE = 2
"""Calls under way at a time: the next is there when one ends, and no node is flooded."""


class Pieces:
    """Goes on by itself, on whichever thread hears of the end of a call.

    Ends with the first call that fails: what stands behind its blocks in a prefix is of no use,
    and a cluster that does not answer costs one deadline, not one for each call.
    """

    def __init__(self, starts: Sequence[tuple[int, Callable[[], Started]]]) -> None:
        """starts: of each call its number of blocks, and what starts it."""
        self._starts = starts
        self._lock = RLock()
        self._started: list[Started] = []
        self._over: set[int] = set()
        self._stopped = False
        self._began = self._ended = time.monotonic()
        self._advance()

    def done(self) -> bool:
        """Whether it has ended; nothing touches its memory from then on."""
        with self._lock:
            all_started = self._stopped or len(self._started) == len(self._starts)
            return all_started and len(self._over) == len(self._started)

    def outcome(self) -> Outcome:
        """What became of it; waits for its end, which the calls' deadline bounds."""
        place = 0
        while True:
            with self._lock:
                if place == len(self._started):
                    break
                started = self._started[place]
            started.outcome()
            self._piece_ended(place)  # the word of it may come later
            place += 1
        return self._joined()

    def cancel(self) -> None:
        """Ends it now; nothing touches its memory once this returns."""
        with self._lock:
            self._stopped = True
            started = list(self._started)
        for each in started:
            each.cancel()

    def _advance(self) -> None:
        with self._lock:
            while (
                not self._stopped
                and len(self._started) - len(self._over) < _AT_ONCE
                and len(self._started) < len(self._starts)
            ):
                place = len(self._started)
                self._started.append(self._starts[place][1]())
                self._started[place].when_done(partial(self._piece_ended, place))

    def _piece_ended(self, place: int) -> None:
        with self._lock:
            if place not in self._over:
                self._over.add(place)
                self._ended = time.monotonic()
                if not self._started[place].outcome().good.all():
                    self._stopped = True
        self._advance()

    def _joined(self) -> Outcome:
        reasons: Counter[str] = Counter()
        good = []
        for place, (blocks, _) in enumerate(self._starts):
            if place < len(self._started):
                outcome = self._started[place].outcome()
                reasons.update(outcome.reasons)
                good.append(outcome.good)
            else:
                reasons["not_tried"] += blocks
                good.append(np.zeros(blocks, dtype=np.bool_))
        return Outcome(np.concatenate(good), dict(reasons), self._ended - self._began)
