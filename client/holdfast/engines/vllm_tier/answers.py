"""Which keys are stored, as far as the cluster has said: asked once, remembered for a while."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


class Answer(enum.Enum):
    """What a lookup says without waiting."""

    HIT = "hit"
    MISS = "miss"
    LATER = "later"
    """The cluster was asked and has not answered."""


@dataclass(slots=True)
class _Known:
    asked_at: float
    found: bool | None = None
    """None while the cluster has not answered."""
    firm: bool = False
    """Whether the cluster looked; otherwise nobody answered, which only counts for those who
    were there when it was asked."""


class Answers:
    """Bounded. An answer holds for every request that was there when it was asked for, so that
    no request waits twice for the same key, and for a time for those that come later."""

    def __init__(self, keys_max: int, life_s: float, clock: Callable[[], float]) -> None:
        self._keys_max = keys_max
        self._life_s = life_s
        self._clock = clock
        # In the order in which they were asked for: the first goes first.
        self._known: dict[bytes, _Known] = {}
        self._unasked: list[bytes] = []

    def look(self, key: bytes, since: float) -> Answer | None:
        """What is known of `key`, for a request that is there `since`. What is not known is put
        on the list of `take_unasked`; None if there is no room even to ask."""
        known = self._known.get(key)
        if known is not None and known.found is None:
            return Answer.LATER
        if known is None or not self._holds(known, since):
            return Answer.LATER if self._ask(key) else None
        return Answer.HIT if known.found else Answer.MISS

    def take_unasked(self) -> list[bytes]:
        """Keys to ask the cluster for; from now on they are under way."""
        unasked, self._unasked = self._unasked, []
        return unasked

    def settle(self, keys: Sequence[bytes], found: Iterable[bool], firm: bool) -> None:
        """The answers have come. firm: whether every one was looked up. A key that was denied
        meanwhile stays so."""
        for key, stored in zip(keys, found, strict=True):
            known = self._known.get(key)
            if known is not None and known.found is None:
                known.found = bool(stored)
                known.firm = firm or known.found

    def deny(self, keys: Iterable[bytes]) -> None:
        """These could not be loaded: nobody is offered them for a while, and a request that was
        there never again, or it would try for ever."""
        for key in keys:
            self._known.pop(key, None)
            self._known[key] = _Known(self._clock(), found=False, firm=True)

    def forget(self, keys: Iterable[bytes]) -> None:
        """These were stored just now: what was known of them is old."""
        for key in keys:
            known = self._known.get(key)
            if known is not None and known.found is False:
                del self._known[key]

    def __len__(self) -> int:
        return len(self._known)

    def _holds(self, known: _Known, since: float) -> bool:
        return known.asked_at + (self._life_s if known.firm else 0.0) >= since

    def _ask(self, key: bytes) -> bool:
        now = self._clock()
        self._known.pop(key, None)
        while len(self._known) >= self._keys_max:
            oldest = next(iter(self._known))
            known = self._known[oldest]
            if known.found is None or known.asked_at + self._life_s >= now:
                return False
            del self._known[oldest]
        self._known[key] = _Known(now)
        self._unasked.append(key)
        return True
