"""The scrub worker: its pace, and what it finds in a real node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import holdfast_native as native
from holdfast_datanode.workers import ScrubWorker
from tests.native.client_bed import (
    BLOCK_BYTES,
    CLUSTER,
    DEADLINE_MS,
    EXISTS,
    PUT,
    SPACE,
    TENANT,
    client_of,
    ended,
    random_keys,
    serving_node,
    whole,
)

STEP_BYTES = 4 << 20
BATCH = 500


class Held:
    """A node that holds so many bytes, which are read in steps."""

    def __init__(self, used_bytes: int) -> None:
        self.used_bytes = used_bytes
        self.read = 0

    def scrub(self, cursor: int, bytes_max: int) -> tuple[int, int, int, int]:
        nbytes = min(bytes_max, self.used_bytes - cursor)
        self.read += nbytes
        end = cursor + nbytes
        return (end if end < self.used_bytes else 0), nbytes >> 10, nbytes, 0

    def stats(self) -> dict[str, Any]:
        return {"used_bytes": self.used_bytes}


@pytest.mark.parametrize("used_bytes", [1, STEP_BYTES, 1000 * STEP_BYTES + 5])
def test_every_block_is_read_twice_in_the_time_for_it(used_bytes: int) -> None:
    node = Held(used_bytes)
    worker = ScrubWorker(node, within_s=100_000, mib_per_s=1 << 20)
    elapsed_s = 0.0
    while worker.status()["passes"] < 2:
        elapsed_s += worker.work()
    assert elapsed_s <= 100_001
    assert node.read == 2 * used_bytes == worker.status()["bytes_read"]


def test_its_bandwidth_has_a_bound() -> None:
    worker = ScrubWorker(Held(1 << 40), within_s=1, mib_per_s=8)
    assert sum(worker.work() for _ in range(10)) == pytest.approx(10 * 4 / 8)


def test_an_empty_node_is_looked_at_now_and_then() -> None:
    worker = ScrubWorker(Held(0), within_s=14 * 86_400, mib_per_s=64)
    assert 1 <= worker.work() <= 60


def test_every_flipped_byte_is_found() -> None:
    """10,000 blocks, one bit of each flipped somewhere: all are found and dropped, no other is."""
    blocks, flipped = 12_000, 10_000
    seed = int(np.random.SeedSequence().generate_state(1)[0])
    print(f"seed {seed}")
    random = np.random.default_rng(seed)
    with serving_node(arena_mib=512, fault_injection=True) as node:
        client = client_of(node.tcp_address, None)
        memory = random.integers(0, 256, BATCH * BLOCK_BYTES, np.uint8)
        segments = whole(native.Region(memory.data), BATCH)
        keys = np.asarray(random_keys(blocks, seed))
        for first in range(0, blocks, BATCH):
            batch = keys[first : first + BATCH].data
            stored = ended(client.start(PUT, SPACE, batch, segments, 0, DEADLINE_MS, False))
            assert set(stored) == {native.KeyStatus.STORED}
        ids = native.block_ids(CLUSTER, TENANT, SPACE, keys.data)
        for at in range(flipped):
            bit = int(random.integers(0, BLOCK_BYTES * 8))
            assert node.flip_bit(SPACE, ids[16 * at : 16 * at + 16], bit)
        worker = ScrubWorker(node, within_s=1, mib_per_s=1 << 20)
        while not worker.status()["passes"]:
            worker.work()
        assert worker.status()["blocks_corrupt"] == flipped
        assert worker.status()["blocks_read"] == blocks
        found = ended(client.start(EXISTS, SPACE, keys.data, None, 0, DEADLINE_MS, False))
        assert [status == native.KeyStatus.HIT for status in found] == (
            [False] * flipped + [True] * (blocks - flipped)
        )
        client.close(5000)
