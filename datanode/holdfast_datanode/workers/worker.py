"""The contract of background work."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import ClassVar


class Worker(ABC):
    """Work that is done in steps, so that it can be paused, paced and stopped between two.

    A `WorkerThread` calls `work` and `wait` from one thread; `wake` and `status` come from any.
    """

    name: ClassVar[str]
    """Short name, as metrics and logs show it."""

    def __init__(self) -> None:
        self._woken = threading.Event()

    @abstractmethod
    def work(self) -> float | None:
        """Does one bounded step. Returns seconds until the next one: 0 for at once, None for
        whenever `wake` is called. An exception is logged and the step tried again later."""

    @abstractmethod
    def status(self) -> dict[str, int]:
        """Figures of its progress by name."""

    def wait(self, timeout_s: float | None) -> None:
        """Returns after `timeout_s` (None: never), or as soon as `wake` was called."""
        self._woken.wait(timeout_s)
        self._woken.clear()

    def wake(self) -> None:
        """Says that there may be work; a call between two steps is not lost."""
        self._woken.set()
