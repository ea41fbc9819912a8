"""Reads every block that is stored now and then, and drops those with wrong bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from holdfast_datanode.workers.worker import Worker

_STEP_BYTES = 4 << 20
_REST_S_MAX = 60.0
"""Longest rest between two steps: what a node holds may grow meanwhile."""
_PASSES_WITHIN = 2
"""Passes in the time in which every block is to be read: one that was written right behind the
first pass is read by the second."""


class Scrubbing(Protocol):
    """What the native node does for this worker."""

    def scrub(self, cursor: int, bytes_max: int) -> tuple[int, int, int, int]:
        """Reads blocks: (next cursor, 0 at the end; blocks; bytes; blocks that were dropped)."""

    def stats(self) -> Mapping[str, Any]:
        """Gauges by name; `used_bytes` are those of all blocks."""


class ScrubWorker(Worker):
    """Goes over all blocks again and again, as slowly as the time for it permits."""

    name: ClassVar[str] = "scrub"

    def __init__(
        self,
        node: Scrubbing,
        within_s: int,
        mib_per_s: int,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._node = node
        self._pass_s = within_s / _PASSES_WITHIN
        self._bytes_per_s_max = mib_per_s << 20
        self._monotonic_s = monotonic_s
        self._cursor = 0
        self._passes = 0
        self._blocks = 0
        self._bytes = 0
        self._corrupt = 0
        self._began_s = monotonic_s()
        self._last_pass_s = 0.0

    def work(self) -> float:
        """A few megabytes; rests as long as the pace demands."""
        self._cursor, blocks, nbytes, corrupt = self._node.scrub(self._cursor, _STEP_BYTES)
        self._blocks += blocks
        self._bytes += nbytes
        self._corrupt += corrupt
        if self._cursor == 0:
            self._passes += 1
            self._last_pass_s = self._monotonic_s() - self._began_s
            self._began_s = self._monotonic_s()
        if not nbytes:
            return min(_REST_S_MAX, self._pass_s)
        used_bytes = int(self._node.stats()["used_bytes"])
        bytes_per_s = min(max(used_bytes, nbytes) / self._pass_s, self._bytes_per_s_max)
        return min(_REST_S_MAX, nbytes / bytes_per_s)

    def status(self) -> dict[str, int]:
        """Since start: passes over all blocks, what was read, what was dropped; and how long the
        last pass took, seconds."""
        return {
            "passes": self._passes,
            "blocks_read": self._blocks,
            "bytes_read": self._bytes,
            "blocks_corrupt": self._corrupt,
            "last_pass_s": int(self._last_pass_s),
        }
