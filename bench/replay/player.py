"""Plays the trace against a space: match, get and check, put what was missing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import holdfast
from bench.replay.contents import is_right, keys_of, write_contents
from bench.replay.ledger import Ledger
from bench.replay.plan import Plan
from bench.replay.trace import Trace

BATCH_BLOCKS = 32


@dataclass(frozen=True)
class Desk:
    """Memory that one request in flight works in.

    blocks: uint8[BATCH_BLOCKS, block_bytes], the region's memory; scratch: uint8[block_bytes].
    """

    region: holdfast.Region
    blocks: NDArray[np.uint8]
    scratch: NDArray[np.uint8]


class OutOfTimeError(Exception):
    """The request's deadline was over before all of its calls were made."""


class Player:
    """Serves the trace's requests in order of arrival, a bounded number at once.

    A request waits for the first put of each block that an earlier request brings, and for nothing
    else, so that hits do not depend on timing.
    """

    def __init__(self, space: holdfast.Space, trace: Trace, plan: Plan, ledger: Ledger) -> None:
        self._space = space
        self._trace = trace
        self._plan = plan
        self._ledger = ledger
        self._first_put: dict[int, asyncio.Event] = {}
        self._desks: asyncio.LifoQueue[Desk] = asyncio.LifoQueue()
        for _ in range(plan.requests_in_flight):
            self._desks.put_nowait(self._new_desk())

    def _new_desk(self) -> Desk:
        region = self._space.allocate(BATCH_BLOCKS * self._plan.block_bytes)
        blocks = np.frombuffer(region.memory, dtype=np.uint8).reshape(BATCH_BLOCKS, -1)
        return Desk(region, blocks, np.empty(self._plan.block_bytes, np.uint8))

    async def play(self) -> None:
        """Serves every request; what fails is counted in the ledger, never raised."""
        async with asyncio.TaskGroup() as tasks:
            for request in self._trace.requests:
                desk = await self._desks.get()
                awaited, brought = self._order(request)
                tasks.create_task(self._serve(request, awaited, brought, desk))

    def _order(self, request: tuple[int, ...]) -> tuple[list[asyncio.Event], list[asyncio.Event]]:
        """The first puts that this request waits for, and those that are its own."""
        awaited: list[asyncio.Event] = []
        brought: list[asyncio.Event] = []
        for block in request:
            event = self._first_put.get(block)
            if event is None:
                event = self._first_put[block] = asyncio.Event()
                brought.append(event)
            elif not event.is_set():
                awaited.append(event)
        return awaited, brought

    async def _serve(
        self,
        request: tuple[int, ...],
        awaited: list[asyncio.Event],
        brought: list[asyncio.Event],
        desk: Desk,
    ) -> None:
        ledger = self._ledger
        try:
            for event in awaited:
                await event.wait()
            ledger.in_flight += 1
            start = time.monotonic()
            try:
                await self._exchange(request, desk, start + self._plan.deadline_s)
                ledger.requests_done += 1
            except (holdfast.HoldfastError, OutOfTimeError) as error:
                ledger.errors[type(error).__name__] += 1
                ledger.requests_failed += 1
            finally:
                ledger.in_flight -= 1
                ledger.stalled(time.monotonic() - start)
        finally:
            for event in brought:
                event.set()
            self._desks.put_nowait(desk)

    async def _exchange(self, request: tuple[int, ...], desk: Desk, end: float) -> None:
        keys = keys_of(request)
        matched = await self._space.aio.match(keys, deadline=self._left(end))
        self._ledger.blocks_asked += len(request)
        self._ledger.blocks_matched += matched
        served = 0
        while served < matched:
            upto = min(served + BATCH_BLOCKS, matched)
            whole = await self._read(request[served:upto], keys[served:upto], desk, end)
            served += whole
            if whole < BATCH_BLOCKS:
                break
        for first in range(served, len(request), BATCH_BLOCKS):
            upto = min(first + BATCH_BLOCKS, len(request))
            await self._write(request[first:upto], keys[first:upto], first, desk, end)

    async def _read(
        self, blocks: tuple[int, ...], keys: NDArray[np.uint8], desk: Desk, end: float
    ) -> int:
        """Reads and checks blocks; answers how many from the start were there."""
        segments = desk.region.blocks(self._plan.block_bytes, range(len(blocks)))
        start = time.monotonic()
        result = await self._space.aio.get(keys, segments, deadline=self._left(end))
        self._ledger.get_times_s.append(time.monotonic() - start)
        self._ledger.errors.update(result.reasons)
        hits = result.hit_mask
        for place, block in enumerate(blocks):
            if not hits[place]:
                continue
            self._ledger.blocks_verified += 1
            self._ledger.bytes_read += self._plan.block_bytes
            if not is_right(block, desk.blocks[place], desk.scratch):
                self._ledger.wrong_blocks += 1
        return int(np.argmin(hits)) if not hits.all() else len(blocks)

    async def _write(
        self,
        blocks: tuple[int, ...],
        keys: NDArray[np.uint8],
        first_position: int,
        desk: Desk,
        end: float,
    ) -> None:
        for place, block in enumerate(blocks):
            write_contents(block, desk.blocks[place])
        segments = desk.region.blocks(self._plan.block_bytes, range(len(blocks)))
        result = await self._space.aio.put(
            keys, segments, first_position=first_position, deadline=self._left(end)
        )
        self._ledger.errors.update(result.reasons)
        self._ledger.bytes_written += result.stored * self._plan.block_bytes

    @staticmethod
    def _left(end: float) -> float:
        left = end - time.monotonic()
        if left <= 0:
            raise OutOfTimeError
        return left
