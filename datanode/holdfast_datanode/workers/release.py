"""Drops blocks of groups that this node no longer has anything to do with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from holdfast_datanode.native_node import BlockMover
from holdfast_datanode.view import View
from holdfast_datanode.workers.worker import Worker

_PASSES = 2
"""A put that was let in before the route changed may commit after the first pass."""


class ReleaseWorker(Worker):
    """Keeps blocks of groups that the map gives to this node, now or before the moves are done.

    What goes elsewhere stays for a while: clients that have not seen the newest map still read it.
    """

    name: ClassVar[str] = "release"

    def __init__(
        self,
        blocks: BlockMover,
        view: View,
        delay_ms: int,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._blocks = blocks
        self._view = view
        self._delay_s = delay_ms / 1000
        self._monotonic_s = monotonic_s
        self._due_s = 0.0
        self._kept: tuple[int, bytes] | None = None
        self._passes_left = 0
        self._passes = 0

    def work(self) -> float | None:
        """One bounded sweep over the index, if the map asks for another set than before."""
        duties = self._view.duties
        if duties is None or duties.kept is None:
            return None
        wanted = (duties.group_count, duties.kept)
        if wanted != self._kept:
            self._kept, self._passes_left = wanted, _PASSES
            self._due_s = self._monotonic_s() + self._delay_s
        if not self._passes_left:
            return None
        rest_s = self._due_s - self._monotonic_s()
        if rest_s > 0:
            return rest_s
        if not self._blocks.retain_groups(*wanted):
            return 0
        self._passes += 1
        self._passes_left -= 1
        self._due_s = self._monotonic_s() + self._delay_s
        return self._delay_s if self._passes_left else None

    def status(self) -> dict[str, int]:
        """Passes over the index since start."""
        return {"passes": self._passes}
