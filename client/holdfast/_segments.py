"""Where the bytes of blocks lie in registered memory, in the form that native code reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from holdfast._native_errors import translated
from holdfast.errors import Closed, InvalidArgument
from holdfast_kvstore import segments as layout
from holdfast_kvstore.segments import Plane
from holdfast_native import NativeError
from holdfast_native import Region as NativeRegion
from holdfast_native import Segments as NativeSegments

if TYPE_CHECKING:
    from holdfast._region import Region

Indices = layout.Indices


class Segments:
    """Where each block of a batch lies: over all planes in order, each plane's runs.

    Made once and used for any number of calls; checked against its regions when it is made.
    """

    __slots__ = ("_native", "block_bytes", "blocks")

    def __init__(self, native: NativeSegments) -> None:
        self._native = native
        self.blocks: Final = native.blocks
        """Number of blocks."""
        self.block_bytes: Final = native.block_bytes
        """Bytes of one block over all planes."""

    @classmethod
    def paged(cls, planes: Sequence[Plane], block_indices: Indices) -> Segments:
        """Blocks spread over several planes, one key for all of them.

        planes: each layer's K and V, say, in the order in which they are joined to a block.
        block_indices: integers[blocks], the page of each key in the order of the keys.

        Raises InvalidArgument for a plane or index outside its region, naming both, or for what
        is no plane or index, and Closed if a region is closed.
        """
        indices = layout.as_array(block_indices)
        if indices.size == 0:
            indices = np.zeros(0, dtype=np.int64)
        checked = layout.Segments(layout.as_planes(planes), indices)
        parts = [
            (
                _native_region(plane),
                plane.base,
                plane.block_stride,
                plane.runs,
                plane.run_stride,
                plane.run_bytes,
            )
            for plane in checked.planes
        ]
        try:
            return cls(NativeSegments(parts, checked.indices.data))
        except NativeError as error:
            raise translated(error) from error

    def __len__(self) -> int:
        return self.blocks

    def __repr__(self) -> str:
        return f"<Segments: {self.blocks} blocks of {self.block_bytes} bytes>"


def _native_region(plane: Plane) -> NativeRegion:
    region: Region | object = plane.region
    native = getattr(region, "_native", None)
    if not isinstance(native, NativeRegion):
        raise InvalidArgument(
            f"a plane lies in a {type(region).__name__}, it must lie in a Region: register its "
            "memory first"
        )
    if native.closed:
        raise Closed("a plane lies in a region that was closed")
    return native
