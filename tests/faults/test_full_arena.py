"""An arena that is full evicts, answers, and never hands out wrong bytes."""

from __future__ import annotations

import numpy as np
import pytest

import holdfast
from tests.faults.load import fill, keys_of

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(120)]

BLOCK_BYTES = 64 << 10
BATCH = 64
BLOCKS = 4 * (64 << 20) // BLOCK_BYTES
"""Four times what the arena holds."""


def test_four_times_the_arena(one_of_each: holdfast.LocalCluster, transport: str) -> None:
    with one_of_each.connect(transport="tcp" if transport == "tcp" else "shm") as cluster:
        space = cluster.space("full", block_bytes=BLOCK_BYTES, create=True)
        region = space.allocate(BATCH * BLOCK_BYTES)
        memory = np.frombuffer(region.memory, np.uint8).reshape(BATCH, BLOCK_BYTES)
        for first in range(0, BLOCKS, BATCH):
            for place in range(BATCH):
                fill(first + place, memory[place])
            result = space.put(keys_of(first, BATCH), region.blocks(), first_position=first)
            assert result.stored + result.busy == BATCH, result.reasons
            assert result.stored > 0

        expected = np.zeros(BLOCK_BYTES, np.uint8)
        hits = 0
        for first in range(0, BLOCKS, BATCH):
            found = space.get(keys_of(first, BATCH), region.blocks())
            hits += found.hits
            for place in np.flatnonzero(found.hit_mask).tolist():
                fill(first + place, expected)
                assert np.array_equal(memory[place], expected)
        assert BLOCKS // 8 < hits < BLOCKS // 2
        del memory
