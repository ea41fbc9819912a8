"""Memory of one call: the views that LMCache hands over, as one region without a copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast._region import Region
from holdfast._segments import Segments
from holdfast.engines.door import Door
from holdfast.engines.lmcache.object_size import ObjectSize
from holdfast_kvstore.segments import Plane


class UnfitMemoryError(Exception):
    """Memory that a transfer cannot use."""


class Span:
    """The range of addresses from the first byte of any view to the last.

    LMCache's views are slices of its pinned pool, but each is an overlay that neither owns the
    memory nor tells the pool's bounds, and other callers hand over buffers of their own. So a span
    is registered for one call and let go at its end: it holds the views (and through them whatever
    they keep alive) exactly as long as the call may touch them, and bytes between them are never
    touched. Registering costs microseconds; that is why nothing is kept from call to call.
    """

    def __init__(self, views: Sequence[memoryview], writable: bool) -> None:
        """Raises UnfitMemoryError for a view that has gaps, or is read-only but `writable`."""
        for view in views:
            if not view.c_contiguous:
                raise UnfitMemoryError("a buffer is not contiguous")
            if writable and view.readonly:
                raise UnfitMemoryError("a buffer to load into is read-only")
        arrays = [np.frombuffer(view, dtype=np.uint8) for view in views]
        addresses = np.array([array.ctypes.data for array in arrays], dtype=np.int64)
        self._views = arrays
        self._first = int(addresses.min())
        end = max(int(at) + array.nbytes for at, array in zip(addresses, arrays, strict=True))
        self._nbytes = end - self._first
        self._readonly = not writable
        self._offsets: npt.NDArray[np.int64] = addresses - self._first

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {
            "data": (self._first, self._readonly),
            "shape": (self._nbytes,),
            "typestr": "|u1",
            "version": 3,
        }

    def register(self, door: Door, size: ObjectSize) -> tuple[Region, Segments]:
        """The region, to be closed when the call has ended, and each object's blocks in it, object
        by object. Raises HoldfastError."""
        region = door.register(self)
        parts = np.arange(size.parts, dtype=np.int64) * size.part_bytes
        offsets = (self._offsets[:, None] + parts).reshape(-1)
        plane = Plane(region, base=0, block_stride=1, run_bytes=size.part_bytes)
        return region, Segments.paged([plane], offsets)
