"""A GPU whose pages lie in host memory: a test says when its work and its copies go on."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from threading import Condition, Event, Lock

from holdfast.engines.vllm.device import BLOCKS_MAX
from holdfast.engines.vllm.staging import Staging
from holdfast.engines.vllm.tiles import Tiles

WAIT_S = 30.0
"""Longest that a copy is held: a test that forgets it fails."""


class HostDevice:
    """Behind the seam of `holdfast.engines.vllm.device.Device`."""

    def __init__(self, tables: Mapping[int, Tiles]) -> None:
        self.tables = tables
        self.broken = False
        """Whether copies raise."""
        self.copied: list[list[int]] = []
        """Blocks of each copy that has ended."""
        self._condition = Condition()
        self._working = False
        self._marks: list[Event] = []
        self._held = False
        self._halfway = 0

    # ------------------------------------------------------------------------ what a test does

    def work(self) -> None:
        """The engine's work lasts until `end_work`: marks made from now on are not passed."""
        self._working = True

    def rest(self) -> None:
        """Marks made from now on are passed at once; earlier ones still are not."""
        self._working = False

    def end_work(self) -> None:
        """All marks so far are passed."""
        self._working = False
        marks, self._marks = self._marks, []
        for mark in marks:
            mark.set()

    def hold_copies(self) -> None:
        """Copies stop halfway, until `let_copies_go`."""
        with self._condition:
            self._held = True

    def let_copies_go(self) -> None:
        """They go on."""
        with self._condition:
            self._held = False
            self._condition.notify_all()

    def wait_until_halfway(self) -> None:
        """Until a copy is being held."""
        with self._condition:
            assert self._condition.wait_for(lambda: self._halfway > 0, WAIT_S)

    # ------------------------------------------------------------------------ the seam

    def mark(self) -> Event:
        """The end of the work so far."""
        mark = Event()
        if self._working:
            self._marks.append(mark)
        else:
            mark.set()
        return mark

    def stream(self, staging: Staging) -> HostStream:
        """As of a GPU."""
        return HostStream(self, staging)

    def pass_halfway(self) -> None:
        """In the middle of a copy."""
        with self._condition:
            self._halfway += 1
            self._condition.notify_all()
            assert self._condition.wait_for(lambda: not self._held, WAIT_S)
            self._halfway -= 1


class HostStream:
    """One copy at a time."""

    def __init__(self, device: HostDevice, staging: Staging) -> None:
        self._device = device
        self._staging = staging
        self._one = Lock()

    def copy(
        self,
        group: int,
        ids: Sequence[int],
        slots: Sequence[int],
        after: Event,
        *,
        into_pages: bool,
    ) -> None:
        """Half of the blocks before the halt, half behind it."""
        assert 0 < len(ids) == len(slots) <= BLOCKS_MAX
        assert self._one.acquire(blocking=False), "two copies of one stream at once"
        try:
            assert after.wait(WAIT_S)
            if self._device.broken:
                raise RuntimeError("the device is broken")
            moves = list(zip(ids, slots, strict=True))
            half = len(moves) // 2
            self._move(group, moves[:half], into_pages=into_pages)
            self._device.pass_halfway()
            self._move(group, moves[half:], into_pages=into_pages)
            self._device.copied.append(list(ids))
        finally:
            self._one.release()

    def _move(self, group: int, moves: Sequence[tuple[int, int]], *, into_pages: bool) -> None:
        for block, slot in moves:
            for address, stride, place, nbytes in self._device.tables[group].tolist():
                page = address + block * stride
                staged = self._staging.address + slot * self._staging.slot_bytes + place
                to, source = (page, staged) if into_pages else (staged, page)
                ctypes.memmove(to, source, nbytes)

    def close(self) -> None:
        """Nothing was pinned."""
