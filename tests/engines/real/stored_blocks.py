"""Blocks that an engine stored, reached from outside: through the client, or in a node's memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.faults.process_memory import find_bytes, flip_bit

STORED_S = 30.0
_PATTERN_BYTES = 4096
"""Enough to find a block by; the whole of it may lie in several pieces."""


class StoredBlocks:
    """Blocks of one space, by their keys."""

    def __init__(self, space: holdfast.Space, keys: Sequence[bytes]) -> None:
        self.space = space
        self.keys = list(keys)

    @classmethod
    def of_puts(cls, cluster: holdfast.Cluster, puts: Sequence[dict[str, Any]]) -> StoredBlocks:
        """The blocks of puts that went to one space, each once, in order of their positions."""
        (name,) = {put["space"] for put in puts}
        placed = {
            key: put["first_position"] + number
            for put in puts
            for number, key in enumerate(put["keys"])
        }
        keys = [bytes.fromhex(key) for key in sorted(placed, key=lambda key: placed[key])]
        return cls(cluster.space(name), keys)

    def are_stored(self) -> bool:
        """Whether each of them is there."""
        return self.space.match(self.keys) == len(self.keys)

    def wait_until_stored(self) -> None:
        """Until each of them is there. Raises DeadlineExceeded."""
        wait_for(f"store of {len(self.keys)} blocks", self.are_stored, STORED_S)

    def read(self) -> npt.NDArray[np.uint8]:
        """uint8[blocks, block_bytes]: what is stored."""
        memory = np.zeros((len(self.keys), self.space.block_bytes), np.uint8)
        with self.space.register(memory) as region:
            assert self.space.get(self.keys, region.blocks()).all_hit
        return memory

    def digests(self) -> list[str]:
        """SHA-256 of each block."""
        return [hashlib.sha256(block.data).hexdigest() for block in self.read()]

    def swap(self) -> None:
        """Stores each block's bytes under the key of the next: valid blocks, and the wrong ones."""
        rolled = np.ascontiguousarray(np.roll(self.read(), 1, axis=0))
        self.space.delete(self.keys)
        with self.space.register(rolled) as region:
            assert self.space.put(self.keys, region.blocks()).stored == len(self.keys)

    def flip(self, local: holdfast.LocalCluster, block: int) -> int:
        """Changes a bit of one block in the memory of every data node that has it; answers how
        many copies there were."""
        content = self.read()[block].tobytes()
        places = [
            (node.pid, place)
            for node in local.data_nodes
            for place in find_bytes(node.pid, content[:_PATTERN_BYTES])
        ]
        for pid, place in places:
            flip_bit(pid, place + _PATTERN_BYTES // 2)
        return len(places)
