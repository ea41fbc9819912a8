"""What the data path is measured on: one client process, one data node process, a block set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import holdfast
from holdfast_kvstore.policies import TIMES
from holdfast_native import raw_fill

Transport = Literal["auto", "tcp", "shm"]

SET_BYTES = 2 << 30
BATCH = 32
MIB = 1 << 20


@dataclass(frozen=True)
class Bed:
    """A cluster and a client of it.

    transport: "tcp" or "shm"; spin_us: the waiting policy of both sides.
    """

    local: holdfast.LocalCluster
    cluster: holdfast.Cluster

    @property
    def node_pids(self) -> list[int]:
        """The data nodes' processes."""
        return [node.pid for node in self.local.data_nodes]


@contextmanager
def bed(
    *,
    transport: Transport,
    spin_us: int = 0,
    lanes: int = 1,
    arena_mib: int = 2560,
    data_nodes: int = 1,
    down_after_ms: int = TIMES.down_after_ms,
) -> Iterator[Bed]:
    """Starts the bed and stops it on leaving."""
    layout = holdfast.LocalLayout(
        data_nodes=data_nodes,
        arena_mib=arena_mib,
        spin_us=spin_us,
        down_after_ms=down_after_ms,
        out_after_ms=max(TIMES.out_after_ms, 2 * down_after_ms),
    )
    with (
        holdfast.LocalCluster(layout) as local,
        local.connect(transport=transport, spin_us=spin_us, lanes=lanes) as cluster,
    ):
        yield Bed(local, cluster)


def keys(first: int, count: int) -> NDArray[np.uint8]:
    """Keys of blocks `first`, `first` + 1, ...: uint8[count, 32]."""
    words = np.zeros((count, 4), dtype="<u8")
    words[:, 0] = np.arange(first, first + count)
    words[:, 1] = ~words[:, 0]
    return words.view(np.uint8).reshape(count, 32)


def source(nbytes: int, seed: int) -> NDArray[np.uint8]:
    """Incompressible bytes, uint8[nbytes]."""
    memory = np.empty(nbytes, np.uint8)
    raw_fill(memory.data, seed)
    return memory


def load_set(space: holdfast.Space, block_bytes: int, set_bytes: int, seed: int) -> int:
    """Puts `set_bytes` of blocks, block i from `source` of seed + batch; answers how many."""
    blocks = set_bytes // block_bytes
    region = space.allocate(BATCH * block_bytes)
    memory = np.frombuffer(region.memory, np.uint8)
    for batch, first in enumerate(range(0, blocks, BATCH)):
        count = min(BATCH, blocks - first)
        raw_fill(memory.data, seed + batch)
        segments = region.blocks(block_bytes, range(count))
        result = space.put(keys(first, count), segments)
        if result.stored != count:
            raise RuntimeError(f"only {result.stored} of {count} blocks of the set were stored")
    region.close()
    return blocks
