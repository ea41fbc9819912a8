"""The primary tier's memory: rows that blocks are stored from and loaded into, in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast._keys import PackedKeys
from holdfast._region import Region
from holdfast._segments import Segments
from holdfast.engines.parts import part_suffixes
from holdfast.errors import ConfigInvalid
from holdfast_kvstore.policies import LIMITS
from holdfast_kvstore.segments import Plane

Indices = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class RowShape:
    """How a row is cut into stored blocks. Raises ConfigInvalid if it cannot be."""

    row_bytes: int
    """From one row to the next."""
    used_bytes: int
    """Of a row, from its start; what follows is there for alignment only."""

    def __post_init__(self) -> None:
        if not 0 < self.used_bytes <= self.row_bytes:
            raise ConfigInvalid(
                f"rows of the primary tier have {self.row_bytes} bytes, {self.used_bytes} of them "
                "used: there is nothing that could be stored"
            )
        if self.parts * self.part_bytes > self.row_bytes:
            raise ConfigInvalid(
                f"rows of {self.row_bytes} bytes cannot be cut into blocks of up to "
                f"{LIMITS.block_bytes_max} bytes: let the engine's chunks be smaller"
            )

    @property
    def parts(self) -> int:
        """Stored blocks of a row: a power of two, one unless the row is larger than a block may
        be. Rows end at a page, so that what is left over of the last part fits behind it."""
        return 1 << max(0, -(-self.used_bytes // LIMITS.block_bytes_max) - 1).bit_length()

    @property
    def part_bytes(self) -> int:
        """Bytes of one stored block."""
        return -(-self.used_bytes // self.parts)


class Rows:
    """The rows, registered once."""

    def __init__(self, memory: memoryview, shape: RowShape, close_s: float) -> None:
        """memory: [rows, row_bytes], contiguous; held until `close`."""
        self.shape = shape
        self.count = len(memory)
        self._region = Region.of_buffer(memory, shape.part_bytes, close_s)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.count * self.shape.row_bytes

    def names(self, keys: Sequence[bytes], suffix: bytes = b"") -> list[PackedKeys]:
        """For each part the names of the stored blocks of `keys`, which are of equal length.

        suffix: behind every key.
        """
        return [_packed(keys, suffix + part) for part in part_suffixes(self.shape.parts)]

    def segments(self, rows: Indices) -> list[Segments]:
        """For each part where it lies in `rows`."""
        shape = self.shape
        return [
            Segments.paged(
                [
                    Plane(
                        self._region,
                        base=part * shape.part_bytes,
                        block_stride=shape.row_bytes,
                        run_bytes=shape.part_bytes,
                    )
                ],
                rows,
            )
            for part in range(shape.parts)
        ]

    def close(self) -> None:
        """Lets the memory go. Raises DeadlineExceeded while calls still use it."""
        self._region.close()


def _packed(keys: Sequence[bytes], suffix: bytes) -> PackedKeys:
    joined = b"".join(key + suffix for key in keys) if suffix else b"".join(keys)
    return PackedKeys(joined, len(keys[0]) + len(suffix))
