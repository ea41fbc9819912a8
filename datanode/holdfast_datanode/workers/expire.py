"""Drops blocks whose time to live is over."""

from __future__ import annotations

from typing import ClassVar

from holdfast_datanode.native_node import BlockMover
from holdfast_datanode.workers.worker import Worker

_SWEEPS = 64
"""Sweeps of one step: each looks at some thousand slots, and the index may have millions."""


class ExpireWorker(Worker):
    """Sweeps at an interval, without a rest while there is something to drop."""

    name: ClassVar[str] = "expire"

    def __init__(self, blocks: BlockMover, interval_ms: int) -> None:
        super().__init__()
        self._blocks = blocks
        self._interval_s = interval_ms / 1000
        self._expired = 0

    def work(self) -> float:
        """A bounded part of the index."""
        dropped = sum(self._blocks.sweep() for _ in range(_SWEEPS))
        self._expired += dropped
        return 0 if dropped else self._interval_s

    def status(self) -> dict[str, int]:
        """Blocks dropped since start."""
        return {"blocks_expired": self._expired}
