"""Whether the cluster is worth asking just now."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from holdfast.engines.counters import Counters

PAUSE_S_MIN = 0.5
PAUSE_S_MAX = 15.0
SILENT_CALLS = 3
"""Calls in a row that nobody answers before they are paused: a single node may hold their keys."""


class Health:
    """Pauses calls while no node answers, so that an engine does not wait for each of them.

    One warning at the start of an outage with the counters so far, one line at its end. While it
    lasts one call is let through after each pause, and pauses double up to 15 s.
    """

    def __init__(self, counters: Counters, log: logging.Logger, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._log = log
        self._clock = clock
        self._lock = Lock()
        self._failing = False
        self._trying = False
        self._silent = 0
        self._pause_s = PAUSE_S_MIN
        self._again_at = 0.0

    @property
    def failing(self) -> bool:
        """Whether the last word of the cluster was none."""
        return self._failing

    def allows(self) -> bool:
        """Whether a call may be made; answers True once a pause during an outage."""
        with self._lock:
            if not self._failing:
                return True
            if self._clock() < self._again_at:
                return False
            self._again_at = self._clock() + self._pause_s
            self._trying = True
            return True

    def good(self) -> None:
        """Somebody answered."""
        with self._lock:
            ended, self._failing = self._failing, False
            self._trying = False
            self._silent = 0
            self._pause_s = PAUSE_S_MIN
        if ended:
            self._log.warning("the cluster answers again: blocks are loaded and stored from now on")

    def bad(self, why: str, *, certain: bool = False) -> None:
        """Nobody answered a call. certain: the whole cluster is out of reach, not some keys."""
        with self._lock:
            self._silent += 1
            if not certain and self._silent < SILENT_CALLS:
                return
            if self._failing and not self._trying:
                return  # it was under way when the outage began, and is no news of it
            began, self._failing = not self._failing, True
            self._trying = False
            self._pause_s = PAUSE_S_MIN if began else min(self._pause_s * 2, PAUSE_S_MAX)
            self._again_at = self._clock() + self._pause_s
        if began:
            self._counters.add("outages")
            self._log.warning(
                "the cluster does not answer (%s): serving goes on without it, as misses, and it "
                "is tried again; counted so far: %s", why, dict(self._counters.totals()),
            )  # fmt: skip
