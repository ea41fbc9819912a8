"""Time for tests."""

from __future__ import annotations


class Clock:
    """Seconds that stand until a test lets them go on."""

    def __init__(self, now: float = 100.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
