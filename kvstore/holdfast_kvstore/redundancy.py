"""How the blocks of a space survive the loss of nodes: whole copies, or shards with parity."""

from __future__ import annotations

import re
from dataclasses import dataclass

from holdfast_kvstore.errors import InvalidArgument
from holdfast_kvstore.policies import LIMITS

_CUT = re.compile(r"ec:([1-9][0-9]{0,3})\+([1-9][0-9]{0,3})\Z")
SHARD_ALIGNMENT_BYTES = 64
"""A shard has a multiple of these bytes; what the block does not fill is zero."""
CHUNK_TAIL_BYTES = 32
"""What stands behind a stored shard and says which one of which block it is."""


@dataclass(frozen=True, slots=True)
class Redundancy:
    """How many nodes hold something of each block, and how many of them are needed.

    Either `copies` whole copies lie on the first owners of each block's group ("single",
    "mirror:2"), or each block is cut into `data` shards with `parity` more, any `data` of which
    give it back ("ec:4+2"). Raises InvalidArgument for numbers that are not possible.
    """

    copies: int = 1
    """Whole copies of a block; 1 for blocks that are cut."""
    data: int = 1
    """Owners that are needed to read a block."""
    parity: int = 0
    """Shards beyond the needed ones; 0 for whole copies."""

    def __post_init__(self) -> None:
        if self.parity == 0 and (self.data != 1 or not 1 <= self.copies <= LIMITS.copies_max):
            raise InvalidArgument(
                f"redundancy has {self.copies} copies of {self.data} parts, 1 to "
                f"{LIMITS.copies_max} whole copies are possible"
            )
        if self.parity and not (
            self.copies == 1
            and 1 <= self.data <= LIMITS.data_shards_max
            and 1 <= self.parity <= LIMITS.parity_shards_max
        ):
            raise InvalidArgument(
                f"redundancy ec:{self.data}+{self.parity} is not possible: use 1 to "
                f"{LIMITS.data_shards_max} data and 1 to {LIMITS.parity_shards_max} parity shards, "
                'as "ec:4+2" or "ec:10+4"'
            )

    @classmethod
    def parse(cls, text: str) -> Redundancy:
        """Reads "single", "mirror:2", "ec:4+2"; raises InvalidArgument for anything else."""
        scheme, _, parameter = text.partition(":")
        if text == "single":
            return cls(1)
        if scheme == "mirror" and parameter.isascii() and parameter.isdigit():
            copies = int(parameter[:4])
            if copies >= 2:
                return cls(copies)
        cut = _CUT.match(text)
        if cut:
            return cls(1, data=int(cut[1]), parity=int(cut[2]))
        raise InvalidArgument(
            f'redundancy {text!r} is not known: use "single", "mirror:2" to '
            f'"mirror:{LIMITS.copies_max}", or "ec:K+M" for K data and M parity shards, as "ec:4+2"'
        )

    @property
    def is_cut(self) -> bool:
        """Whether blocks are cut into shards, so that no two owners hold the same."""
        return self.parity > 0

    @property
    def owners(self) -> int:
        """Nodes that hold something of each block: the first ones of its group."""
        return self.data + self.parity if self.is_cut else self.copies

    @property
    def failures(self) -> int:
        """Owners of a block that may be lost before the block is."""
        return self.owners - self.data

    def chunk_bytes(self, block_bytes: int) -> int:
        """Bytes of what one owner stores of a block of `block_bytes`."""
        if not self.is_cut:
            return block_bytes
        shard_bytes = -(-block_bytes // self.data)
        unaligned = -shard_bytes % SHARD_ALIGNMENT_BYTES
        return shard_bytes + unaligned + CHUNK_TAIL_BYTES

    def __str__(self) -> str:
        if self.is_cut:
            return f"ec:{self.data}+{self.parity}"
        return "single" if self.copies == 1 else f"mirror:{self.copies}"


SINGLE = Redundancy()
"""One copy."""
