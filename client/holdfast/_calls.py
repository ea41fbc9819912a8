"""The calls of one space: checks arguments, and says how each outcome is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from holdfast._call import Call
from holdfast._keys import Keys, NativeKeys, native_keys
from holdfast._limits import check_deadline, check_integer
from holdfast._results import (
    BlockStat,
    DeleteResult,
    ExistsResult,
    GetResult,
    PinResult,
    PutResult,
    StatResult,
)
from holdfast._segments import Segments
from holdfast._session import Session
from holdfast._space_binding import SpaceBinding
from holdfast.errors import InvalidArgument
from holdfast_native import OperationKind
from holdfast_native import Segments as NativeSegments

R = TypeVar("R")
_UINT32_MAX = 2**32 - 1


class SpaceCalls:
    """Makes a `Call` of each operation. Every method raises Closed, ForkedError, NotFound (the
    space was deleted) and InvalidArgument before anything is sent."""

    def __init__(self, session: Session, binding: SpaceBinding) -> None:
        self._session = session
        self._binding = binding
        self._native = session.native
        self._number = binding.number
        self._block_bytes = binding.block_bytes
        self._observe = session.observe

    def match(self, keys: Keys, deadline: float | None) -> Call[int]:
        """Counts the stored keys before the first that is not."""
        return self._read_call(OperationKind.EXISTS, keys, deadline, _prefix)

    def exists(self, keys: Keys, deadline: float | None) -> Call[ExistsResult]:
        """Asks which keys are stored."""
        return self._read_call(OperationKind.EXISTS, keys, deadline, ExistsResult)

    def get(self, keys: Keys, segments: Segments, deadline: float | None) -> Call[GetResult]:
        """Reads blocks into `segments`."""
        ready = self._prepared(keys)
        native = self._checked(len(ready), segments)
        deadline_ms = _milliseconds(deadline, self._session.timeouts.get_s)
        return self._call(OperationKind.GET, ready, native, 0, deadline_ms, GetResult)

    def put(
        self, keys: Keys, segments: Segments, first_position: int, deadline: float | None
    ) -> Call[PutResult]:
        """Writes blocks out of `segments`."""
        ready = self._prepared(keys)
        native = self._checked(len(ready), segments)
        check_integer("first_position", first_position, 0, _UINT32_MAX - len(ready))
        deadline_ms = _milliseconds(deadline, self._session.timeouts.put_s)
        return self._call(OperationKind.PUT, ready, native, first_position, deadline_ms, PutResult)

    def pin(self, keys: Keys, seconds: float, deadline: float | None) -> Call[PinResult]:
        """Keeps blocks from eviction for `seconds`."""
        ready = self._prepared(keys)
        check_deadline("seconds", seconds)
        duration_ms = max(1, int(seconds * 1000))  # 0 would unpin
        deadline_ms = _milliseconds(deadline, self._session.timeouts.put_s)
        return self._call(OperationKind.PIN, ready, None, duration_ms, deadline_ms, PinResult)

    def delete(self, keys: Keys, deadline: float | None) -> Call[DeleteResult]:
        """Removes blocks."""
        ready = self._prepared(keys)
        deadline_ms = _milliseconds(deadline, self._session.timeouts.put_s)
        return self._call(OperationKind.DELETE, ready, None, 0, deadline_ms, DeleteResult)

    def stat(self, keys: Keys, deadline: float | None) -> Call[StatResult]:
        """Asks for facts about blocks."""
        return self._read_call(OperationKind.STAT, keys, deadline, _stat_result)

    def _read_call(
        self, kind: int, keys: Keys, deadline: float | None, result_of: Callable[..., R]
    ) -> Call[R]:
        ready = self._prepared(keys)
        deadline_ms = _milliseconds(deadline, self._session.timeouts.get_s)
        return self._call(kind, ready, None, 0, deadline_ms, result_of)

    def _call(
        self,
        kind: int,
        keys: NativeKeys,
        segments: NativeSegments | None,
        argument: int,
        deadline_ms: int,
        result_of: Callable[..., R],
    ) -> Call[R]:
        arguments = (kind, self._number, keys, segments, argument, deadline_ms)
        return Call(self._native, arguments, result_of, self._observe)

    def _prepared(self, keys: Keys) -> NativeKeys:
        self._session.check_usable()
        self._binding.check_usable()
        return native_keys(keys)

    def _checked(self, keys: int, segments: Segments) -> NativeSegments:
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
        if blocks and block_bytes != self._block_bytes:
            raise InvalidArgument(
                f"segments have blocks of {block_bytes} bytes, space {self._binding.name!r} has "
                f"blocks of {self._block_bytes} bytes"
            )
        return segments._native


def _milliseconds(deadline: float | None, default_s: float) -> int:
    if deadline is None:
        deadline = default_s
    else:
        check_deadline("deadline", deadline)
    return max(1, int(deadline * 1000))


def _prefix(raw: bytes, reasons: Mapping[str, int]) -> int:
    return ExistsResult(raw, reasons).prefix


def _stat_result(
    raw: bytes, reasons: Mapping[str, int], facts: Sequence[tuple[Any, ...]] = ()
) -> StatResult:
    return StatResult(raw, reasons, tuple(BlockStat(*row) if row[0] else None for row in facts))
