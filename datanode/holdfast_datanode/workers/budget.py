"""A bandwidth that background work stays within."""

from __future__ import annotations

import time
from collections.abc import Callable


class Budget:
    """Bytes a second with a burst of one second's worth. Used by one thread."""

    def __init__(self, bytes_per_s: int, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        assert bytes_per_s > 0
        self._bytes_per_s = bytes_per_s
        self._monotonic_s = monotonic_s
        self._spent_until_s = monotonic_s()

    def spend(self, nbytes: int) -> None:
        """Notes bytes that were moved."""
        start_s = max(self._spent_until_s, self._monotonic_s() - 1.0)
        self._spent_until_s = start_s + nbytes / self._bytes_per_s

    def rest_s(self) -> float:
        """Seconds to rest before more may be moved; 0: none."""
        return max(0.0, self._spent_until_s - self._monotonic_s())
