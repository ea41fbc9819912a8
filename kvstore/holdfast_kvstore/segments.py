"""Segment lists: where the bytes of each block of a batch lie in registered memory.

One block of a paged, per-layer KV layout is one key: each layer is a `Plane`. Block i is, in the
order of the planes and for r in range(runs), the bytes
[base + indices[i] * block_stride + r * run_stride, + run_bytes) of the plane's region.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.errors import InvalidArgument

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
Indices = npt.NDArray[np.integer] | Sequence[int]
PLANES_MAX = 4_096
"""Planes of one segment list."""


class HasBytes(Protocol):
    """What a segment list needs to know of a region."""

    @property
    def nbytes(self) -> int:
        """Bytes of the region."""


@dataclass(frozen=True, slots=True)
class Plane:
    """One stretch of every block in one region. Bytes, all but `region` and `runs`."""

    region: HasBytes
    base: int
    """Offset of index 0 in the region."""
    block_stride: int
    """From one index to the next; may be negative or 0."""
    run_bytes: int
    """Contiguous bytes of one run."""
    runs: int = 1
    """Runs of each block."""
    run_stride: int = 0
    """From one run of a block to the next; of no meaning with one run."""

    def __post_init__(self) -> None:
        for name in ("base", "block_stride", "run_bytes", "runs", "run_stride"):
            value = getattr(self, name)
            try:
                number = operator.index(value)
            except TypeError:
                raise InvalidArgument(
                    f"{name} of a plane is {value!r}, it must be an integer"
                ) from None
            if not _INT64_MIN <= number <= _INT64_MAX:
                raise InvalidArgument(
                    f"{name} of a plane is {number}, it must fit in 64 bits with sign"
                )
            object.__setattr__(self, name, number)
        if self.runs < 1 or self.run_bytes < 1:
            raise InvalidArgument(
                f"plane has {self.runs} runs of {self.run_bytes} bytes, both must be at least 1"
            )
        if self.runs > 1 and abs(self.run_stride) < self.run_bytes:
            raise InvalidArgument(
                f"runs of {self.run_bytes} bytes every {self.run_stride} bytes overlap"
            )

    @property
    def bytes_per_block(self) -> int:
        """Bytes of one block that lie in this plane."""
        return self.runs * self.run_bytes

    def reach(self) -> tuple[int, int]:
        """First and one past the last byte of index 0, as offsets in the region."""
        last = self.base + (self.runs - 1) * self.run_stride
        return min(self.base, last), max(self.base, last) + self.run_bytes


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """The memory of a batch of blocks, checked against its regions when it is made.

    Raises InvalidArgument that names the first block and plane outside of its region.
    """

    planes: tuple[Plane, ...]
    indices: npt.NDArray[np.int64]
    """int64[blocks]: which block of the layout each key of the batch is."""

    def __post_init__(self) -> None:
        planes = as_planes(self.planes)
        if not 1 <= len(planes) <= PLANES_MAX:
            raise InvalidArgument(f"{len(planes)} planes, it must be 1 to {PLANES_MAX}")
        for number, plane in enumerate(planes):
            if not isinstance(plane, Plane):
                raise InvalidArgument(
                    f"plane {number} is a {type(plane).__name__}, it must be a Plane"
                )
        indices = as_array(self.indices)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise InvalidArgument(
                f"indices are {indices.dtype}{list(indices.shape)}, they must be integers[blocks]"
            )
        if indices.dtype.kind == "u" and indices.size and int(indices.max()) > _INT64_MAX:
            raise InvalidArgument(f"index {int(indices.max())} does not fit in 64 bits with sign")
        # A copy: the check below must hold for as long as the list is used.
        kept = np.array(indices, dtype=np.int64, order="C")
        kept.flags.writeable = False
        object.__setattr__(self, "planes", planes)
        object.__setattr__(self, "indices", kept)
        if kept.size:
            self._check_bounds()

    def _check_bounds(self) -> None:
        least, most = int(self.indices.min()), int(self.indices.max())
        for number, plane in enumerate(self.planes):
            first, end = plane.reach()
            ends = (least * plane.block_stride, most * plane.block_stride)
            try:
                nbytes = plane.region.nbytes
                inside = first + min(ends) >= 0 and end + max(ends) <= nbytes
            except (AttributeError, TypeError):  # no size, or one that is no number
                raise InvalidArgument(
                    f"plane {number} lies in a {type(plane.region).__name__}, it must lie in a "
                    "Region: register its memory first"
                ) from None
            if inside:
                continue
            outermost = least if _outside(plane, least) else most
            block = int(np.argmax(self.indices == outermost))
            offset = outermost * plane.block_stride
            raise InvalidArgument(
                f"block {block} (index {outermost}) takes bytes {first + offset} to "
                f"{end + offset} of plane {number}, its region has {nbytes} bytes"
            )

    @property
    def blocks(self) -> int:
        """Blocks of the batch."""
        return int(self.indices.size)

    @property
    def block_bytes(self) -> int:
        """Bytes of each block, over all planes."""
        return sum(plane.bytes_per_block for plane in self.planes)

    def pieces(self, block: int) -> list[tuple[HasBytes, int, int]]:
        """(region, offset, bytes) of every run of one block, in order."""
        index = int(self.indices[block])
        return [
            (
                plane.region,
                plane.base + index * plane.block_stride + run * plane.run_stride,
                plane.run_bytes,
            )
            for plane in self.planes
            for run in range(plane.runs)
        ]


def as_planes(planes: Iterable[Plane]) -> tuple[Plane, ...]:
    """`planes` as a tuple. Raises InvalidArgument for what cannot be gone through."""
    if isinstance(planes, tuple):
        return planes
    if isinstance(planes, Plane):
        raise InvalidArgument("planes are a single Plane: put it in a list")
    try:
        return tuple(planes)
    except TypeError:
        raise InvalidArgument(
            f"planes are a {type(planes).__name__}, they must be a sequence of Plane"
        ) from None


def as_array(indices: Indices) -> npt.NDArray[Any]:
    """`indices` as an array; an empty list, which numpy makes float64, as int64[0].

    Raises InvalidArgument for what is no array. Its kind and shape are left to be checked.
    """
    if isinstance(indices, np.ndarray) and indices.size:
        return indices
    try:
        array = np.asarray(indices)
    except (TypeError, ValueError) as error:  # ragged lists; tensors in GPU memory
        raise InvalidArgument(
            f"indices are a {type(indices).__name__} that is no integers[blocks]: {error}"
        ) from error
    return np.zeros(0, dtype=np.int64) if array.shape == (0,) else array


def _outside(plane: Plane, index: int) -> bool:
    first, end = plane.reach()
    offset = index * plane.block_stride
    return first + offset < 0 or end + offset > plane.region.nbytes


def contiguous(
    region: HasBytes,
    block_bytes: int,
    *,
    indices: Indices | None = None,
    offsets: Indices | None = None,
    base: int = 0,
) -> Segments:
    """Blocks that each lie in one piece.

    `indices`: block i at base + indices[i] * block_bytes. `offsets`: block i at base +
    offsets[i], bytes. Neither: as many blocks as fit behind `base`, one after the other. Raises
    InvalidArgument for both at once or anything outside of the region.
    """
    if indices is not None and offsets is not None:
        raise InvalidArgument("give indices or offsets, not both")
    if block_bytes < 1:
        raise InvalidArgument(f"block_bytes is {block_bytes}, it must be at least 1")
    if offsets is not None:
        return Segments((Plane(region, base, 1, block_bytes),), as_array(offsets))
    if indices is None:
        indices = np.arange(max(0, region.nbytes - base) // block_bytes, dtype=np.int64)
    plane = Plane(region, base, block_bytes, block_bytes)
    return Segments((plane,), as_array(indices))
