"""The asyncio form of a space's calls."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from holdfast._call import Call
from holdfast._calls import SpaceCalls
from holdfast._completions import Completions
from holdfast._keys import Keys
from holdfast._results import (
    DeleteResult,
    ExistsResult,
    GetResult,
    PinResult,
    PutResult,
    StatResult,
)
from holdfast._segments import Segments

R = TypeVar("R")


class SpaceAio:
    """`await space.aio.get(...)`: the calls of `Space`, awaited.

    Completion comes through an event descriptor in the running loop: no thread waits. Cancelling
    the awaiting task cancels the call, and nothing writes into its segments from then on.
    """

    def __init__(self, calls: SpaceCalls, completions: Completions) -> None:
        self._calls = calls
        self._completions = completions

    async def match(self, keys: Keys, *, deadline: float | None = None) -> int:
        """See `Space.match`."""
        return await self._awaited(self._calls.match(keys, deadline))

    async def exists(self, keys: Keys, *, deadline: float | None = None) -> ExistsResult:
        """See `Space.exists`."""
        return await self._awaited(self._calls.exists(keys, deadline))

    async def get(
        self, keys: Keys, segments: Segments, *, deadline: float | None = None
    ) -> GetResult:
        """See `Space.get`."""
        return await self._awaited(self._calls.get(keys, segments, deadline))

    async def put(
        self,
        keys: Keys,
        segments: Segments,
        first_position: int = 0,
        *,
        deadline: float | None = None,
    ) -> PutResult:
        """See `Space.put`."""
        return await self._awaited(self._calls.put(keys, segments, first_position, deadline))

    async def pin(self, keys: Keys, seconds: float, *, deadline: float | None = None) -> PinResult:
        """See `Space.pin`."""
        return await self._awaited(self._calls.pin(keys, seconds, deadline))

    async def delete(self, keys: Keys, *, deadline: float | None = None) -> DeleteResult:
        """See `Space.delete`."""
        return await self._awaited(self._calls.delete(keys, deadline))

    async def stat(self, keys: Keys, *, deadline: float | None = None) -> StatResult:
        """See `Space.stat`."""
        return await self._awaited(self._calls.stat(keys, deadline))

    async def _awaited(self, call: Call[R]) -> R:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if _is_running(loop):
                _set(ended)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(_set, ended)

        operation = self._completions.start(call, settle)
        self._completions.watch(loop)
        try:
            await ended
        except BaseException:
            operation.cancel()
            raise
        finally:
            self._completions.unwatch(loop)
        return call.finish(operation)


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _set(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
