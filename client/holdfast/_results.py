"""What the calls of a space answer: small values, per key, never an exception for a miss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from holdfast._status import Status

_HIT = bytes([Status.HIT])
_SHOWN = sorted(Status, key=lambda status: status is Status.MISS)
"""The order in which a result shows its counts: misses last."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KeyResults:
    """Per-key results of one call, in the order of its keys."""

    raw: bytes
    """One `Status` a key."""
    reasons: Mapping[str, int]
    """Why keys were not served, with counts: "absent", "timed_out", "node_down", ..."""

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def statuses(self) -> npt.NDArray[np.uint8]:
        """uint8[keys]: one `Status` a key; read-only."""
        return np.frombuffer(self.raw, dtype=np.uint8)

    def status(self, index: int) -> Status:
        """The status of one key."""
        return Status(self.raw[index])

    def count_of(self, status: Status) -> int:
        """How many keys have this status."""
        return self.raw.count(status)

    def mask_of(self, status: Status) -> npt.NDArray[np.bool_]:
        """bool[keys]: which keys have this status."""
        return np.equal(self.statuses, status)

    def __repr__(self) -> str:
        """Counts only, such as "GetResult(3 keys: 2 hit, 1 miss; absent 1)"."""
        counts = [(status.name.lower(), self.count_of(status)) for status in _SHOWN]
        told = ", ".join(f"{count} {name}" for name, count in counts if count)
        why = ", ".join(f"{reason} {count}" for reason, count in self.reasons.items() if count)
        keys = "1 key" if len(self.raw) == 1 else f"{len(self.raw)} keys"
        return (
            f"{type(self).__name__}({keys}{': ' if told else ''}{told}{'; ' if why else ''}{why})"
        )

    @property
    def _prefix(self) -> int:
        return len(self.raw) - len(self.raw.lstrip(_HIT))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ExistsResult(KeyResults):
    """Which keys are stored. Also a sequence of bool, one a key."""

    @property
    def count(self) -> int:
        """Keys that are stored."""
        return self.count_of(Status.HIT)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """bool[keys]: which keys are stored."""
        return self.mask_of(Status.HIT)

    @property
    def prefix(self) -> int:
        """Stored keys before the first one that is not."""
        return self._prefix

    def __iter__(self) -> Iterator[bool]:
        return (status == Status.HIT for status in self.raw)

    def __getitem__(self, index: int) -> bool:
        return self.raw[index] == Status.HIT

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[np.generic]:
        return np.asarray(self.mask, dtype=dtype)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class GetResult(KeyResults):
    """Which blocks were read. The segments of a key that is no hit hold undefined bytes."""

    @property
    def hits(self) -> int:
        """Blocks that were read and checked."""
        return self.count_of(Status.HIT)

    @property
    def hit_mask(self) -> npt.NDArray[np.bool_]:
        """bool[keys]: which blocks were read."""
        return self.mask_of(Status.HIT)

    @property
    def all_hit(self) -> bool:
        """Whether every block was read."""
        return self._prefix == len(self.raw)

    @property
    def prefix(self) -> int:
        """Blocks read before the first one that was not."""
        return self._prefix


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PutResult(KeyResults):
    """Which blocks are kept. A block without `STORED` or `PRESENT` must be counted as not kept."""

    @property
    def stored(self) -> int:
        """Blocks that this call stored."""
        return self.count_of(Status.STORED)

    @property
    def present(self) -> int:
        """Blocks that were there already."""
        return self.count_of(Status.PRESENT)

    @property
    def busy(self) -> int:
        """Blocks that another call was writing, or for which there was no room just now."""
        return self.count_of(Status.BUSY)

    @property
    def refused(self) -> int:
        """Blocks that can never be stored as asked."""
        return self.count_of(Status.REFUSED)

    @property
    def unknown(self) -> int:
        """Blocks that may or may not have been stored."""
        return self.count_of(Status.UNKNOWN)

    @property
    def kept(self) -> int:
        """Blocks that are stored now: by this call or before."""
        return self.stored + self.present

    @property
    def all_kept(self) -> bool:
        """Whether every block is stored now."""
        return self.kept == len(self.raw)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PinResult(KeyResults):
    """Which blocks are kept from eviction until the pin's time is over."""

    @property
    def pinned(self) -> int:
        """Blocks that are pinned."""
        return self.count_of(Status.HIT)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """bool[keys]: which blocks are pinned."""
        return self.mask_of(Status.HIT)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DeleteResult(KeyResults):
    """Which blocks were removed."""

    @property
    def deleted(self) -> int:
        """Blocks that were there and are removed."""
        return self.count_of(Status.HIT)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """bool[keys]: which blocks were removed."""
        return self.mask_of(Status.HIT)


@dataclass(frozen=True, slots=True)
class BlockStat:
    """Facts about one stored block."""

    node: int
    """Id of the data node that answered."""
    crc32c: int
    """Checksum of its bytes."""
    write_id: int
    """Names the put that stored it; copies of one block have the same."""
    position_class: int
    """How deep in its prefix it lies: the node's logarithmic class of its position."""
    touches: int
    """Reads since it was stored, saturating."""
    pinned: bool
    """Whether a pin keeps it from eviction now."""
    age_ms: int
    """Milliseconds since it was written, to 1/64 of the space's time to live (to the minute for a
    space without one)."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StatResult(KeyResults):
    """Facts about blocks."""

    blocks: tuple[BlockStat | None, ...]
    """One entry a key; None where nothing is stored or nobody answered."""
