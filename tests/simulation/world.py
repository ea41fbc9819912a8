"""Simulated time: one queue of events, one source of randomness, one thread."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable


class World:
    """What happens is decided by the seed alone."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now_ms = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def after(self, delay_ms: int, event: Callable[[], None]) -> None:
        """Has `event` happen `delay_ms` from now."""
        self._number += 1
        heapq.heappush(self._events, (self.now_ms + max(0, delay_ms), self._number, event))

    def run_until(self, until_ms: int, done: Callable[[], bool] = lambda: False) -> bool:
        """Lets events happen up to `until_ms`; True once `done` holds."""
        while self._events and self._events[0][0] <= until_ms:
            self.now_ms, _, event = heapq.heappop(self._events)
            event()
            if done():
                return True
        self.now_ms = until_ms
        return done()


class MemberClock:
    """`Clock` of one member: its Unix time is off by some seconds, as clocks are."""

    def __init__(self, world: World, skew_ms: int) -> None:
        self._world = world
        self._skew_ms = skew_ms

    def monotonic_ms(self) -> int:
        return self._world.now_ms

    def unix_ms(self) -> int:
        return 1_800_000_000_000 + self._world.now_ms + self._skew_ms
