"""Once a get has ended, nothing writes into its segments: not even a node that was stopped in
the middle of it and goes on later."""

from __future__ import annotations

import numpy as np
import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.faults.load import fill, keys_of

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(120)]

BLOCK_BYTES = 1 << 20
BLOCKS = 32


@pytest.mark.parametrize("ending", ["deadline", "cancel"])
def test_memory_of_an_ended_get_stays_as_it_is(
    one_of_each: holdfast.LocalCluster, transport: str, ending: str
) -> None:
    node = one_of_each.data_nodes[0]
    with one_of_each.connect(transport="tcp" if transport == "tcp" else "shm") as cluster:
        space = cluster.space("late", block_bytes=BLOCK_BYTES, create=True)
        region = space.allocate(BLOCKS * BLOCK_BYTES)
        memory = np.frombuffer(region.memory, np.uint8).reshape(BLOCKS, BLOCK_BYTES)
        for block in range(BLOCKS):
            fill(block, memory[block])
        assert space.put(keys_of(0, BLOCKS), region.blocks()).stored == BLOCKS

        stopped = 0
        for turn in range(20):
            memory[:] = 0
            # In turns: stopped somewhere in the transfer, and stopped before the request arrives,
            # so that all of the answer is late.
            if turn % 2:
                node.pause()
            pending = space.futures.get(keys_of(0, BLOCKS), region.blocks(), deadline=0.3)
            node.pause()
            if ending == "cancel":
                pending.cancel()
            result = pending.result()
            stopped += not result.all_hit
            memory[:] = 0xA5
            node.resume()
            wait_for("the node's return", lambda: space.match(keys_of(0, 1)) == 1, 30)
            # What the stopped node sent meanwhile has arrived by now, somewhere else.
            assert space.get(keys_of(0, 1), space.allocate(BLOCK_BYTES).blocks()).all_hit
            assert (memory == 0xA5).all()
        assert stopped > 0, "no get was caught in the middle: nothing was tested"
        del memory
