"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from holdfast.errors import DeadlineExceeded

T = TypeVar("T")
PAUSE_S = 0.02


def wait_for(what: str, condition: Callable[[], T | None], deadline_s: float) -> T:
    """Asks `condition` again and again until it answers something true.

    Raises DeadlineExceeded that names `what` after `deadline_s`.
    """
    pause = Event()
    end = time.monotonic() + deadline_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= end:
            raise DeadlineExceeded(f"{what} did not happen within {deadline_s:g} s")
        pause.wait(PAUSE_S)
