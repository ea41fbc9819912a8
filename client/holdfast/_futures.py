"""The futures form of a space's calls."""

from __future__ import annotations

from holdfast._calls import SpaceCalls
from holdfast._completions import Completions
from holdfast._keys import Keys
from holdfast._pending import Pending
from holdfast._results import (
    DeleteResult,
    ExistsResult,
    GetResult,
    PinResult,
    PutResult,
    StatResult,
)
from holdfast._segments import Segments


class SpaceFutures:
    """`space.futures.get(...)`: the calls of `Space`, started; each answers a `Pending`."""

    def __init__(self, calls: SpaceCalls, completions: Completions) -> None:
        self._calls = calls
        self._completions = completions

    def match(self, keys: Keys, *, deadline: float | None = None) -> Pending[int]:
        """See `Space.match`."""
        return Pending(self._calls.match(keys, deadline), self._completions)

    def exists(self, keys: Keys, *, deadline: float | None = None) -> Pending[ExistsResult]:
        """See `Space.exists`."""
        return Pending(self._calls.exists(keys, deadline), self._completions)

    def get(
        self, keys: Keys, segments: Segments, *, deadline: float | None = None
    ) -> Pending[GetResult]:
        """See `Space.get`."""
        return Pending(self._calls.get(keys, segments, deadline), self._completions)

    def put(
        self,
        keys: Keys,
        segments: Segments,
        first_position: int = 0,
        *,
        deadline: float | None = None,
    ) -> Pending[PutResult]:
        """See `Space.put`."""
        return Pending(self._calls.put(keys, segments, first_position, deadline), self._completions)

    def pin(
        self, keys: Keys, seconds: float, *, deadline: float | None = None
    ) -> Pending[PinResult]:
        """See `Space.pin`."""
        return Pending(self._calls.pin(keys, seconds, deadline), self._completions)

    def delete(self, keys: Keys, *, deadline: float | None = None) -> Pending[DeleteResult]:
        """See `Space.delete`."""
        return Pending(self._calls.delete(keys, deadline), self._completions)

    def stat(self, keys: Keys, *, deadline: float | None = None) -> Pending[StatResult]:
        """See `Space.stat`."""
        return Pending(self._calls.stat(keys, deadline), self._completions)
