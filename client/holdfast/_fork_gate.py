"""Keeps this process out of gRPC while it forks.

gRPC makes a forked child usable only if no thread is inside it at the moment of the fork; otherwise
the child's first call aborts it. So a fork waits here until calls have ended and long streams were
ended for it, and holds back new ones until it is over.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

FORK_S_MAX = 3.0
"""Longest time that a fork waits: a little more than one attempt of a call."""


class ForkGate:
    """Counts threads that are inside gRPC. Safe between threads; one for each process."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside: dict[int, int] = {}
        self._streams: dict[object, Callable[[], object]] = {}
        self._forker: int | None = None

    @contextmanager
    def inside(self) -> Iterator[None]:
        """For the time of one call into gRPC; waits while another thread forks."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: self._forker in (None, me), FORK_S_MAX)
            self._inside[me] = self._inside.get(me, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._inside[me] -= 1
                if not self._inside[me]:
                    del self._inside[me]
                self._changed.notify_all()

    def add_stream(self, stream: object, end: Callable[[], object]) -> None:
        """A stream that stays inside for long; `end` ends it from any thread."""
        with self._changed:
            self._streams[stream] = end

    def remove_stream(self, stream: object) -> None:
        """It has ended."""
        with self._changed:
            self._streams.pop(stream, None)

    def before_fork(self) -> None:
        """Closes the gate and waits, within bounds, until nobody else is inside."""
        me = threading.get_ident()
        until_s = time.monotonic() + FORK_S_MAX
        with self._changed:
            self._changed.wait_for(lambda: self._forker is None, FORK_S_MAX)
            self._forker = me
            streams = list(self._streams.values())
        for end in streams:
            end()
        with self._changed:
            self._changed.wait_for(
                lambda: not self._inside.keys() - {me}, until_s - time.monotonic()
            )

    def after_fork_in_parent(self) -> None:
        """Opens the gate."""
        with self._changed:
            self._forker = None
            self._changed.notify_all()

    def after_fork_in_child(self) -> None:
        """Begins anew: none of the parent's threads is here, and nobody frees its locks."""
        self._changed = Condition()
        self._inside = {}
        self._streams = {}
        self._forker = None


GATE = ForkGate()
os.register_at_fork(
    before=GATE.before_fork,
    after_in_parent=GATE.after_fork_in_parent,
    after_in_child=GATE.after_fork_in_child,
)
