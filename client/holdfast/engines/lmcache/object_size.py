"""How an object of LMCache's becomes blocks of one size."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.engines.parts import PARTS_MAX, equal_parts
from holdfast_kvstore.policies import LIMITS


@dataclass(frozen=True, slots=True)
class ObjectSize:
    """An object is one block, or the least number of equal blocks that are small enough."""

    object_bytes: int
    parts: int

    @classmethod
    def of(cls, object_bytes: int, block_bytes_max: int = LIMITS.block_bytes_max) -> ObjectSize:
        """Raises ValueError for a size that cannot be cut into equal blocks."""
        parts = equal_parts(object_bytes, block_bytes_max)
        if parts is not None:
            return cls(object_bytes, parts)
        raise ValueError(f"{object_bytes} bytes are not up to {PARTS_MAX} equal blocks")

    @property
    def part_bytes(self) -> int:
        """Bytes of each block."""
        return self.object_bytes // self.parts
