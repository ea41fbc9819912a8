"""What one opened space is, and whether it can still be used."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast._survival import Survival
from holdfast.errors import HoldfastError
from holdfast_kvstore.redundancy import Redundancy
from holdfast_proto.meta_pb2 import SpaceInfo


@dataclass(slots=True)
class SpaceBinding:
    """A space of this tenant as the metadata cluster described it when it was opened."""

    info: SpaceInfo
    survival: Survival | None = None
    """What its blocks survive, if it was created by this opening."""
    failure: HoldfastError | None = None
    """Set by the background thread once the space is gone; every later call raises it."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.info.name

    @property
    def number(self) -> int:
        """Its number, never used again."""
        return self.info.number

    @property
    def block_bytes(self) -> int:
        """Bytes of every block."""
        return self.info.block_bytes

    @property
    def redundancy(self) -> Redundancy:
        """Whole copies, or shards and parity."""
        return Redundancy.parse(self.info.redundancy)

    @property
    def owners(self) -> int:
        """Nodes that hold something of each block."""
        return self.redundancy.owners

    @property
    def data(self) -> int:
        """Owners that are needed to read a block."""
        return self.redundancy.data

    def check_usable(self) -> None:
        """Raises NotFound once the space was deleted."""
        if self.failure is not None:
            # A new error each time: the same one would gather the traces of all callers.
            raise type(self.failure)(self.failure.message, **self.failure.details)
