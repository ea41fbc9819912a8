"""A node joins a full cluster while requests run; what was a hit before stays one."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator

import numpy as np
import pytest

import holdfast
from holdfast.local_cluster.layout import LocalLayout
from holdfast.local_cluster.local_cluster import LocalCluster
from tests.datanode.process_rig import ProcessRig
from tests.datanode.waiting import wait_for

pytestmark = pytest.mark.process
BLOCK_BYTES = 16 << 10
ARENA_MIB = 32
NODES = 2
"""Fewer than a group has owners: every group has all of them, and the join adds a third."""
ROOM = NODES * (ARENA_MIB << 20) // BLOCK_BYTES
KEYS = ROOM * 5 // 4
"""More than there is room for, so that every arena is full."""
BATCH = 32
WINDOW = 150
"""Batches of one window: the hit rate of 4,800 lookups is known to half a point."""
POINTS = 0.02


class Load(threading.Thread):
    """Reads popular keys more often than others, and puts what was missed, until told to stop."""

    def __init__(self, space: holdfast.Space, seed: int) -> None:
        super().__init__(name="load", daemon=True)
        self._space = space
        self._random = np.random.default_rng(seed)
        popularity = 1.0 / np.arange(1, KEYS + 1) ** 0.8
        self._popularity = self._random.permutation(popularity / popularity.sum())
        self._region = space.allocate(BATCH * BLOCK_BYTES)
        self._memory = np.frombuffer(self._region.memory, dtype="<u8").reshape(BATCH, -1)
        self._stopping = threading.Event()
        self.hits: list[int] = []
        """Of each batch so far."""
        self.error: BaseException | None = None

    def fill(self) -> None:
        """Puts every key once; the arenas are full then."""
        for first in range(0, KEYS - BATCH + 1, BATCH):
            self._put(np.arange(first, first + BATCH))

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._read(self._random.choice(KEYS, BATCH, replace=False, p=self._popularity))
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._stopping.set()
        self.join(30)

    def wait_for_batches(self, count: int) -> None:
        """Until there are `count` batches."""

        def are_done() -> bool:
            assert self.error is None, repr(self.error)
            return len(self.hits) >= count

        wait_for(are_done, deadline_s=60)

    def worst_window(self, first: int) -> float:
        """Least hit rate of the windows from batch `first` on."""
        sums = np.convolve(self.hits[first:], np.ones(WINDOW), mode="valid")
        return float(sums.min()) / (WINDOW * BATCH)

    def hit_rate(self, first: int, behind: int) -> float:
        """Of the batches from `first` up to, not including, `behind`."""
        return sum(self.hits[first:behind]) / ((behind - first) * BATCH)

    def _read(self, numbers: np.ndarray) -> None:
        result = self._space.get(self._keys(numbers), self._region.blocks())
        found = np.asarray(result.hit_mask)
        assert (self._memory[found] == numbers[found, None]).all(), "wrong bytes"
        self.hits.append(int(found.sum()))
        if not found.all():
            self._put(numbers)

    def _put(self, numbers: np.ndarray) -> None:
        self._memory[:] = numbers[:, None]
        self._space.put(self._keys(numbers), self._region.blocks())

    @staticmethod
    def _keys(numbers: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(numbers.astype("<u8")).view(np.uint8).reshape(-1, 8)


@pytest.fixture
def rig() -> Iterator[ProcessRig]:
    layout = LocalLayout(data_nodes=NODES, metadata_nodes=1, arena_mib=ARENA_MIB)
    with LocalCluster(layout) as local:
        yield ProcessRig(local)


def test_a_join_costs_at_most_two_points_of_the_hit_rate(rig: ProcessRig) -> None:
    seed = int(os.environ.get("HOLDFAST_SEED") or random.getrandbits(32))
    print(f"HOLDFAST_SEED={seed}")
    with rig.local.connect(transport="tcp") as cluster:
        load = Load(cluster.space("load", block_bytes=BLOCK_BYTES, create=True), seed)
        load.fill()
        ids = [rig.node_id(daemon) for daemon in rig.local.data_nodes]
        wait_for(lambda: all(rig.node(each).load.evictions > 0 for each in ids))
        load.start()
        try:
            load.wait_for_batches(4 * WINDOW)
            began = len(load.hits)
            before = load.hit_rate(began - 2 * WINDOW, began)
            joining = rig.node_id(rig.add_node("data-x"))
            wait_for(lambda: rig.node(joining).groups > 0)
            rig.wait_until_settled()
            load.wait_for_batches(len(load.hits) + 2 * WINDOW)
        finally:
            load.stop()
        assert load.error is None, repr(load.error)
        worst = load.worst_window(began)
        print(f"hit rate {before:.3f} before, {worst:.3f} in the worst window of the join")
        assert worst >= before - POINTS
        wait_for(lambda: rig.node(joining).load.hits > 0)
