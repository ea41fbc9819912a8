"""The calls of one space: checks arguments, starts native operations, reads their outcome."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from holdfast._call import Call
from holdfast._keys import Keys, NativeKeys, native_keys
from holdfast._limits import check_deadline, check_integer
from holdfast._results import (
    BlockStat,
    DeleteResult,
    ExistsResult,
    GetResult,
    KeyResults,
    PinResult,
    PutResult,
    StatResult,
)
from holdfast._segments import Segments
from holdfast._session import Session
from holdfast._space_binding import SpaceBinding
from holdfast.errors import InvalidArgument
from holdfast_native import Operation

R = TypeVar("R", bound=KeyResults)
_UINT32_MAX = 2**32 - 1


class SpaceCalls:
    """Makes a `Call` of each operation. Every method raises Closed, ForkedError, NotFound (the
    space was deleted) and InvalidArgument before anything is sent."""

    def __init__(self, session: Session, binding: SpaceBinding) -> None:
        self._session = session
        self._binding = binding
        self._native = session.native
        self._number = binding.number

    def match(self, keys: Keys, deadline: float | None) -> Call[int]:
        """Counts the stored keys before the first that is not."""
        exists = self.exists(keys, deadline)
        return Call(exists.launch, lambda done: exists.read(done).prefix, exists.deadline_ms)

    def exists(self, keys: Keys, deadline: float | None) -> Call[ExistsResult]:
        """Asks which keys are stored."""
        ready, deadline_ms = self._prepared(keys, deadline, self._session.timeouts.get_s)

        def launch(notify: bool) -> Operation:
            return self._native.exists(self._number, ready, deadline_ms, notify)

        return Call(launch, self._reader(ExistsResult), deadline_ms)

    def get(self, keys: Keys, segments: Segments, deadline: float | None) -> Call[GetResult]:
        """Reads blocks into `segments`."""
        ready, deadline_ms = self._prepared(keys, deadline, self._session.timeouts.get_s)
        self._check_segments(len(ready), segments)

        def launch(notify: bool) -> Operation:
            return self._native.get(self._number, ready, segments._native, deadline_ms, notify)

        return Call(launch, self._reader(GetResult), deadline_ms)

    def put(
        self, keys: Keys, segments: Segments, first_position: int, deadline: float | None
    ) -> Call[PutResult]:
        """Writes blocks out of `segments`."""
        ready, deadline_ms = self._prepared(keys, deadline, self._session.timeouts.put_s)
        self._check_segments(len(ready), segments)
        check_integer("first_position", first_position, 0, _UINT32_MAX - len(ready))

        def launch(notify: bool) -> Operation:
            return self._native.put(
                self._number, ready, segments._native, first_position, deadline_ms, notify
            )

        return Call(launch, self._reader(PutResult), deadline_ms)

    def pin(self, keys: Keys, seconds: float, deadline: float | None) -> Call[PinResult]:
        """Keeps blocks from eviction for `seconds`."""
        ready, deadline_ms = self._prepared(keys, deadline, self._session.timeouts.put_s)
        check_deadline("seconds", seconds)
        duration_ms = max(1, int(seconds * 1000))  # 0 would unpin

        def launch(notify: bool) -> Operation:
            return self._native.pin(self._number, ready, duration_ms, deadline_ms, notify)

        return Call(launch, self._reader(PinResult), deadline_ms)

    def delete(self, keys: Keys, deadline: float | None) -> Call[DeleteResult]:
        """Removes blocks."""
        ready, deadline_ms = self._prepared(keys, deadline, self._session.timeouts.put_s)

        def launch(notify: bool) -> Operation:
            return self._native.delete(self._number, ready, deadline_ms, notify)

        return Call(launch, self._reader(DeleteResult), deadline_ms)

    def stat(self, keys: Keys, deadline: float | None) -> Call[StatResult]:
        """Asks for facts about blocks."""
        ready, deadline_ms = self._prepared(keys, deadline, self._session.timeouts.get_s)

        def launch(notify: bool) -> Operation:
            return self._native.stat(self._number, ready, deadline_ms, notify)

        def read(operation: Operation) -> StatResult:
            raw, reasons = self._outcome(operation)
            blocks = tuple(BlockStat(*row) if row[0] else None for row in operation.stats())
            return StatResult(raw, reasons, blocks)

        return Call(launch, read, deadline_ms)

    def _prepared(
        self, keys: Keys, deadline: float | None, default_s: float
    ) -> tuple[NativeKeys, int]:
        self._session.check_usable()
        self._binding.check_usable()
        if deadline is None:
            deadline = default_s
        else:
            check_deadline("deadline", deadline)
        return native_keys(keys), max(1, int(deadline * 1000))

    def _check_segments(self, keys: int, segments: Segments) -> None:
        if not isinstance(segments, Segments):
            raise InvalidArgument(
                f"segments are a {type(segments).__name__}: pass region.blocks(...) or "
                "Segments.paged(...)"
            )
        blocks, block_bytes = segments.blocks, segments.block_bytes
        if blocks != keys:
            raise InvalidArgument(
                f"{keys} keys and segments of {blocks} blocks: each key needs one block"
            )
        if blocks and block_bytes != self._binding.block_bytes:
            raise InvalidArgument(
                f"segments have blocks of {block_bytes} bytes, space {self._binding.name!r} has "
                f"blocks of {self._binding.block_bytes} bytes"
            )

    def _reader(self, kind: Callable[[bytes, dict[str, int]], R]) -> Callable[[Operation], R]:
        def read(operation: Operation) -> R:
            return kind(*self._outcome(operation))

        return read

    def _outcome(self, operation: Operation) -> tuple[bytes, dict[str, int]]:
        raw, reasons = operation.statuses(), operation.reasons()
        self._session.observe(reasons)
        return raw, reasons
