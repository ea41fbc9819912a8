"""Background jobs of the host in production."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


class ThreadJobs:
    """`Jobs` on a pool of threads. The host has at most one checkpoint and one fetch at a time."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor

    def run(self, work: Callable[[], None]) -> None:
        """See `Jobs.run`."""
        self._executor.submit(work)
