"""Writers may differ on the bytes of one key: whole blocks of one are kept, never a mix."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

import holdfast
from holdfast import Status
from tests.client.blocks import keys

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

BLOCK_BYTES = 32 << 10
BLOCKS = 24
WRITERS = 6
ALLOWED = {Status.STORED, Status.PRESENT, Status.BUSY, Status.UNKNOWN}


@pytest.mark.parametrize("redundancy", ["single", "mirror:2"])
def test_one_writer_of_each_key_wins_whole(
    local: holdfast.LocalCluster, new_name: Callable[[], str], redundancy: str
) -> None:
    name = new_name()
    results: dict[int, holdfast.PutResult] = {}
    start = threading.Barrier(WRITERS)

    def write(writer: int) -> None:
        with local.connect(transport="shm" if writer % 2 else "tcp") as cluster:
            space = cluster.space(name, block_bytes=BLOCK_BYTES, redundancy=redundancy, create=True)
            source = np.full((BLOCKS, BLOCK_BYTES), writer + 1, np.uint8)
            segments = space.register(source).blocks()
            start.wait(30)
            results[writer] = space.put(keys(0, BLOCKS), segments)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == WRITERS
    for result in results.values():
        assert {Status(status) for status in result.raw} <= ALLOWED
    # Whoever found it present or stored it can read it; every block is of one writer.
    kept = np.array([result.statuses for result in results.values()])
    # A mirror's copies may be won by different writers, to each of which the other copy was busy.
    may_have_won = {Status.STORED, Status.UNKNOWN}
    if redundancy != "single":
        may_have_won.add(Status.BUSY)
    known = ((kept == Status.STORED) | (kept == Status.PRESENT)).any(axis=0)
    for transport in ("tcp", "shm"):
        with local.connect(transport="shm" if transport == "shm" else "tcp") as cluster:
            space = cluster.space(name)
            place = np.zeros((BLOCKS, BLOCK_BYTES), np.uint8)
            found = space.get(keys(0, BLOCKS), space.register(place).blocks())
            assert not (known & ~found.hit_mask).any()
            for block in np.flatnonzero(found.hit_mask).tolist():
                assert len(np.unique(place[block])) == 1
                winner = int(place[block, 0]) - 1
                assert results[winner].raw[block] in may_have_won
