"""The clock seam: the only way in which the metadata node reads time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from; simulated in tests/simulation."""

    def monotonic_ms(self) -> int:
        """Milliseconds since some moment, never backwards. For deadlines and timers."""

    def unix_ms(self) -> int:
        """Milliseconds since 1970, UTC. For stamps on commands and tickets only."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_ms(self) -> int:
        """CLOCK_MONOTONIC, milliseconds."""
        return time.monotonic_ns() // 1_000_000

    def unix_ms(self) -> int:
        """CLOCK_REALTIME, milliseconds."""
        return time.time_ns() // 1_000_000
