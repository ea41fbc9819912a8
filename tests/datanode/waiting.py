"""Waiting for a condition with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

DEADLINE_S = 10.0


def wait_for(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Returns once `condition` holds; fails the test if it does not within the deadline."""
    ends_at_s = time.monotonic() + deadline_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < ends_at_s, f"condition did not hold within {deadline_s} s"
        pause.wait(0.005)
