"""Where LMCache learns what has ended: a list, and an event descriptor that tells of it."""

from __future__ import annotations

import contextlib
import os
from threading import Lock

Notice = tuple[int, bool, str, "list[bool] | None"]
"""Number of the batch, whether all of it went well, why not, and each key's result."""


class Notices:
    """Added to from any thread; each notice is taken once."""

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lock = Lock()
        self._waiting: list[Notice] = []
        self._closed = False

    def add(self, notice: Notice) -> None:
        """The descriptor becomes readable with the first notice that waits, once."""
        with self._lock:
            self._waiting.append(notice)
            if len(self._waiting) == 1 and not self._closed:
                os.eventfd_write(self.descriptor, 1)

    def take(self) -> list[Notice]:
        """What was added since the last call; the descriptor is quiet again."""
        with self._lock:
            if self._waiting and not self._closed:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self.descriptor)
            taken, self._waiting = self._waiting, []
        return taken

    def close(self) -> None:
        """Closes the descriptor; notices can still be taken."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.descriptor)
