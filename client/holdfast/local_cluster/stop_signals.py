"""Signals that end a cluster, taken only where nothing is half made."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopSignals:
    """SIGTERM, SIGINT and SIGHUP raise KeyboardInterrupt, once, in or before the next wait.

    Elsewhere they are kept: raised between the start of a process and the note of its id, or the
    making of a folder and the note of its path, the exception would leave it behind.
    """

    def __init__(self) -> None:
        self._arrived = False
        self._raises = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Takes the signals, and gives them back at the end. On the main thread only."""
        before = {number: signal.getsignal(number) for number in _NUMBERS}
        if before[signal.SIGHUP] is signal.SIG_IGN:  # `nohup`: the terminal may close
            del before[signal.SIGHUP]
        for number in before:
            signal.signal(number, self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A wait that a signal ends. Raises KeyboardInterrupt."""
        self._raises = True
        try:
            if self._arrived:
                raise KeyboardInterrupt
            yield
        finally:
            self._raises = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._arrived = True
        if self._raises:
            # Once: what cleans up behind the wait is not interrupted.
            self._raises = False
            raise KeyboardInterrupt
