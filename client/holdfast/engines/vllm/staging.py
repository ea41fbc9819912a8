"""Host memory between the wire and a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from holdfast._region import Region
from holdfast._segments import Segments
from holdfast.engines.door import CLOSE_S
from holdfast.errors import Unavailable, Unsupported
from holdfast_kvstore.segments import Plane

_ALIGN_BYTES = 256


class Staging:
    """Slots of one block each, registered once. Not safe between threads."""

    def __init__(self, nbytes: int, block_bytes: int, slots_max: int) -> None:
        """nbytes: at most, in all. block_bytes: of the largest block.

        Raises Unsupported when not even one block fits, or memory is short.
        """
        self.slot_bytes = -(-block_bytes // _ALIGN_BYTES) * _ALIGN_BYTES
        self.slots = min(slots_max, nbytes // self.slot_bytes)
        if not self.slots:
            raise Unsupported(
                f"staging of {nbytes} bytes each way has no room for a block of {block_bytes}: "
                f"set staging_bytes to {8 * self.slot_bytes} or more"
            )
        try:
            # Allocated, not merely registered: data nodes of this host can map it.
            self._region = Region.allocated(self.nbytes, self.slot_bytes, CLOSE_S)
        except Unavailable as error:
            raise Unsupported(f"staging_bytes is more than there is: {error}") from error
        self.address = int(np.frombuffer(self._region.memory, np.uint8).ctypes.data)
        """Of the first slot."""
        self._free = list(range(self.slots))

    @property
    def nbytes(self) -> int:
        """Bytes of all slots."""
        return self.slots * self.slot_bytes

    @property
    def free(self) -> int:
        """Slots that nobody has."""
        return len(self._free)

    def take(self, count: int) -> list[int]:
        """Slots for `count` blocks, of which so many are free."""
        assert 0 < count <= len(self._free)
        taken, self._free = self._free[:count], self._free[count:]
        return taken

    def give(self, slots: Sequence[int]) -> None:
        """Takes slots back, which nothing uses any more."""
        self._free.extend(slots)
        assert len(self._free) <= self.slots

    def segments(self, slots: Sequence[int], block_bytes: int) -> Segments:
        """Blocks of `block_bytes` bytes in `slots`."""
        return Segments.paged([Plane(self._region, 0, self.slot_bytes, block_bytes)], slots)

    def close(self) -> None:
        """Lets the memory go. Raises DeadlineExceeded when calls still use it."""
        self._region.close()
