"""A bit that changes in a data node's memory is a miss and a count, never wrong bytes."""

from __future__ import annotations

import numpy as np
import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.faults.load import fill, keys_of
from tests.faults.process_memory import find_bytes, flip_bit

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(120)]

BLOCK_BYTES = 64 << 10
BLOCKS = 8
VICTIM = 3


def test_a_flipped_bit_is_a_miss_and_a_count(
    one_of_each: holdfast.LocalCluster, transport: str
) -> None:
    node = one_of_each.data_nodes[0]
    with one_of_each.connect(transport="tcp" if transport == "tcp" else "shm") as cluster:
        space = cluster.space("flips", block_bytes=BLOCK_BYTES, create=True)
        expected = np.zeros((BLOCKS, BLOCK_BYTES), np.uint8)
        for block in range(BLOCKS):
            fill(block, expected[block])
        assert space.put(keys_of(0, BLOCKS), space.register(expected).blocks()).stored == BLOCKS

        places = find_bytes(node.pid, expected[VICTIM].tobytes())
        assert places, "the block was not found in the node's memory"
        for place in places:
            flip_bit(node.pid, place + BLOCK_BYTES // 2)

        memory = np.zeros_like(expected)
        segments = space.register(memory).blocks()
        result = space.get(keys_of(0, BLOCKS), segments)
        assert result.hits == BLOCKS - 1
        assert not result.hit_mask[VICTIM]
        for block in np.flatnonzero(result.hit_mask).tolist():
            assert np.array_equal(memory[block], expected[block])
        assert cluster.stats()["corrupt"] >= 1

        # The node looks at the block itself and drops it: it can be stored anew.
        wait_for(
            "a second life of the block",
            lambda: space.put(keys_of(0, BLOCKS), space.register(expected).blocks()).stored == 1,
            30,
        )
        assert space.get(keys_of(0, BLOCKS), segments).all_hit
        assert np.array_equal(memory, expected)
        wait_for(
            "the node's count",
            lambda: one_of_each.admin.list_nodes().nodes[0].load.corrupt >= 1,
            30,
        )
