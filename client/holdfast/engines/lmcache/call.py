"""One call to one space on behalf of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdfast._region import Region
from holdfast.engines.lmcache.batch import Batch, Kind
from holdfast.engines.lmcache.object_name import ObjectName
from holdfast.engines.lmcache.spaces import Shelf
from holdfast.engines.lmcache.span import Span
from holdfast.engines.started import Started
from holdfast_kvstore.policies import LIMITS

_CALL_BYTES = 64 << 20
"""Payload of one call: small enough that loads soon overtake saves, large enough for one request a
node."""
_CALL_KEYS = LIMITS.keys_per_batch_max


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Objects of one batch that lie, or may lie, on one shelf."""

    batch: Batch
    shelf: Shelf
    indices: Sequence[int]
    """Which keys of the batch."""

    @classmethod
    def cut(cls, batch: Batch, shelf: Shelf, indices: Sequence[int]) -> Iterator[Call]:
        """As few calls as the bounds on keys and bytes of one call allow."""
        most = _CALL_KEYS // shelf.size.parts
        if batch.kind.moves_bytes:
            most = max(1, min(most, _CALL_BYTES // shelf.size.object_bytes))
        for first in range(0, len(indices), most):
            yield cls(batch, shelf, indices[first : first + most])

    @property
    def nbytes(self) -> int:
        """Payload, bytes."""
        if not self.batch.kind.moves_bytes:
            return 0
        return len(self.indices) * self.shelf.size.object_bytes

    def names(self) -> list[ObjectName]:
        """Names of its objects."""
        named = [self.batch.names[index] for index in self.indices]
        return [name for name in named if name is not None]

    def start(self) -> tuple[Region | None, Started]:
        """Starts it. Answers the region of its memory, to be closed when it has ended, too. Raises
        UnfitMemoryError and HoldfastError."""
        door, size = self.shelf.door, self.shelf.size
        keys = [name.part(part, size.parts) for name in self.names() for part in range(size.parts)]
        if self.batch.kind is Kind.LOOKUP:
            return None, door.exists(keys)
        if self.batch.kind is Kind.DELETE:
            return None, door.delete(keys)
        loads = self.batch.kind is Kind.LOAD
        span = Span([self.batch.views[index] for index in self.indices], writable=loads)
        region, segments = span.register(door, size)
        return region, door.get(keys, segments) if loads else door.put(keys, segments)
