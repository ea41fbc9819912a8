"""Sizes and speeds of transfers, for the engine's own metrics."""

from __future__ import annotations

from collections import deque
from threading import Lock

KEPT_MAX = 1_024
"""Transfers that are kept until somebody takes them; older ones are dropped."""
_GIB = 1 << 30


class Speeds:
    """Transfers in one direction, in any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: deque[tuple[int, float]] = deque(maxlen=KEPT_MAX)

    def note(self, pages: int, nbytes: int, seconds: float) -> None:
        """A transfer of `pages` pages, `nbytes` in all."""
        if pages and seconds > 0:
            with self._lock:
                self._kept.append((pages, nbytes / seconds / _GIB))

    def take(self) -> tuple[list[int], list[float]]:
        """Pages, and GiB/s, of every transfer since the last call of this."""
        with self._lock:
            kept, self._kept = self._kept, deque(maxlen=KEPT_MAX)
        return [pages for pages, _ in kept], [speed for _, speed in kept]
