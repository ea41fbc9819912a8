"""The asyncio form: many awaits, no threads, cancellation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest

import holdfast
from tests.client.blocks import contents, keys, put_blocks
from tests.client.conftest import BLOCK_BYTES

pytestmark = pytest.mark.process


def test_every_call_can_be_awaited(space: holdfast.Space) -> None:
    async def calls() -> None:
        place = np.zeros((4, BLOCK_BYTES), np.uint8)
        aio = space.aio
        with space.register(contents(0, 4, BLOCK_BYTES)) as region:
            assert (await aio.put(keys(0, 4), region.blocks())).stored == 4
        with space.register(place) as region:
            assert (await aio.get(keys(0, 4), region.blocks())).all_hit
        assert np.array_equal(place, contents(0, 4, BLOCK_BYTES))
        assert await aio.match(keys(0, 9)) == 4
        assert (await aio.exists(keys(0, 9))).count == 4
        assert (await aio.pin(keys(0, 4), 5)).pinned == 4
        assert (await aio.stat(keys(0, 1))).blocks[0] is not None
        assert (await aio.delete(keys(0, 4))).deleted == 4
        assert await aio.match([]) == 0

    asyncio.run(calls())


def test_a_thousand_awaits_add_no_thread(space: holdfast.Space) -> None:
    put_blocks(space, 0, 100)
    asyncio.run(space_match_once(space))
    before = threading.active_count()
    counts: list[int] = []

    async def one(number: int) -> int:
        found = await space.aio.match(keys(number % 100, 1))
        counts.append(threading.active_count())
        return found

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(1000)))

    assert asyncio.run(all_of_them()) == [1] * 1000
    assert max(counts) <= before


async def space_match_once(space: holdfast.Space) -> None:
    await space.aio.match(keys(0, 1))


def test_loops_in_several_threads_share_a_cluster_object(space: holdfast.Space) -> None:
    put_blocks(space, 0, 50)
    found: list[int] = []

    async def many() -> None:
        found.append(sum(await asyncio.gather(*(space.aio.match(keys(0, 50)) for _ in range(50)))))

    threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [50 * 50] * 4


def test_a_cancelled_task_cancels_its_call(space: holdfast.Space) -> None:
    put_blocks(space, 0, 32)
    place = np.zeros((32, BLOCK_BYTES), np.uint8)

    async def cancelled() -> None:
        with space.register(place) as region:
            task = asyncio.create_task(space.aio.get(keys(0, 32), region.blocks()))
            await asyncio.wait({task}, timeout=0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # Nothing uses the region any more: closing needs no wait.
            region.close(deadline=0.5)

    asyncio.run(cancelled())
    place[:] = 7
    assert (place == 7).all()
    assert space.match(keys(0, 32)) == 32


def test_closing_the_cluster_object_ends_its_awaits(local: holdfast.LocalCluster) -> None:
    cluster = local.connect(transport="tcp")
    space = cluster.space("closing-awaits", block_bytes=BLOCK_BYTES, create=True)

    async def closed() -> list[holdfast.ExistsResult]:
        calls = [space.aio.exists(keys(0, 64), deadline=60) for _ in range(20)]
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.wait(tasks, timeout=0.05)
        await asyncio.to_thread(cluster.close)
        return await asyncio.wait_for(asyncio.gather(*tasks), 10)

    for node in local.data_nodes:
        node.pause()
    try:
        results = asyncio.run(closed())
    finally:
        for node in local.data_nodes:
            node.resume()
    assert {status for result in results for status in result.raw} == {holdfast.Status.CANCELLED}


def test_errors_come_before_the_wait(
    tcp_cluster: holdfast.Cluster, new_name: Callable[[], str]
) -> None:
    space = tcp_cluster.space(new_name(), block_bytes=BLOCK_BYTES, create=True)

    async def wrong() -> None:
        with pytest.raises(holdfast.InvalidArgument):
            await space.aio.match([b""])

    asyncio.run(wrong())
