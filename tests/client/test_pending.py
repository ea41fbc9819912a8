"""The futures form."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.client.blocks import contents, keys, put_blocks
from tests.client.conftest import BLOCK_BYTES

pytestmark = pytest.mark.process


def test_every_call_can_be_started(space: holdfast.Space) -> None:
    futures = space.futures
    place = np.zeros((4, BLOCK_BYTES), np.uint8)
    with space.register(contents(0, 4, BLOCK_BYTES)) as region:
        assert futures.put(keys(0, 4), region.blocks()).result().stored == 4
    with space.register(place) as region:
        assert futures.get(keys(0, 4), region.blocks()).result().all_hit
    assert np.array_equal(place, contents(0, 4, BLOCK_BYTES))
    assert futures.match(keys(0, 9)).result() == 4
    assert futures.exists(keys(0, 9)).result().count == 4
    assert futures.pin(keys(0, 4), 5).result().pinned == 4
    assert futures.stat(keys(0, 1)).result().blocks[0] is not None
    assert futures.delete(keys(0, 4)).result().deleted == 4


def test_many_under_way_at_once(space: holdfast.Space) -> None:
    put_blocks(space, 0, 64)
    pending = deque(space.futures.match(keys(0, 64)) for _ in range(100))
    assert [one.result() for one in pending] == [64] * 100
    assert all(one.done() for one in pending)
    assert pending[0].result() == 64


def test_it_ends_though_nobody_waits(space: holdfast.Space) -> None:
    put_blocks(space, 0, 8)
    pending = space.futures.match(keys(0, 8))
    wait_for("end of the call", pending.done, 10)
    assert pending.result(timeout=0) == 8


def test_a_get_moves_its_bytes_though_nobody_looks_at_it(space: holdfast.Space) -> None:
    put_blocks(space, 0, 8)
    place = np.zeros((8, BLOCK_BYTES), np.uint8)
    with space.register(place) as region:
        pending = space.futures.get(keys(0, 8), region.blocks())
        wait_for("the bytes", lambda: np.array_equal(place, contents(0, 8, BLOCK_BYTES)), 10)
        assert pending.result().all_hit


def test_a_region_is_closed_once_a_get_that_nobody_looks_at_has_ended(
    space: holdfast.Space,
) -> None:
    put_blocks(space, 0, 8)
    place = np.zeros((8, BLOCK_BYTES), np.uint8)
    region = space.register(place)
    pending = space.futures.get(keys(0, 8), region.blocks())
    region.close()
    assert pending.result().all_hit
    assert np.array_equal(place, contents(0, 8, BLOCK_BYTES))


@pytest.mark.parametrize("timeout", ["1", -1, float("nan"), float("inf")])
def test_a_timeout_that_is_none_is_refused(space: holdfast.Space, timeout: Any) -> None:
    pending = space.futures.match(keys(0, 4))
    with pytest.raises(holdfast.InvalidArgument, match="timeout"):
        pending.result(timeout=timeout)
    assert pending.result() == 0


def test_a_callback_comes_once_it_has_ended(space: holdfast.Space) -> None:
    put_blocks(space, 0, 8)
    called: list[int] = []
    ended = threading.Event()

    def note(pending: holdfast.Pending[int]) -> None:
        called.append(pending.result())
        ended.set()

    for _ in range(20):
        ended.clear()
        space.futures.match(keys(0, 8)).add_done_callback(note)
        assert ended.wait(10)
    assert called == [8] * 20


def test_a_callback_on_what_has_ended_comes_at_once(space: holdfast.Space) -> None:
    pending = space.futures.match(keys(0, 1))
    pending.result()
    called: list[bool] = []
    pending.add_done_callback(lambda done: called.append(done.done()))
    assert called == [True]


def test_a_cancelled_call_has_a_result_and_leaves_the_memory_alone(space: holdfast.Space) -> None:
    put_blocks(space, 0, 64)
    place = np.zeros((64, BLOCK_BYTES), np.uint8)
    with space.register(place) as region:
        pending = space.futures.get(keys(0, 64), region.blocks())
        pending.cancel()
        result = pending.result()
        region.close(deadline=0.5)
    assert result.hits + result.count_of(holdfast.Status.CANCELLED) == 64


def test_closing_the_cluster_object_ends_what_is_under_way(local: holdfast.LocalCluster) -> None:
    cluster = local.connect(transport="tcp")
    space = cluster.space("closing-pending", block_bytes=BLOCK_BYTES, create=True)
    called = threading.Event()
    for node in local.data_nodes:
        node.pause()
    try:
        pending = [space.futures.exists(keys(0, 64), deadline=60) for _ in range(20)]
        pending[0].add_done_callback(lambda done: called.set())
        cluster.close()
        for one in pending:
            assert one.done()
            assert one.result().count_of(holdfast.Status.CANCELLED) == 64
        assert called.wait(10)
    finally:
        for node in local.data_nodes:
            node.resume()


def test_a_waiting_thread_is_let_go_by_a_close(local: holdfast.LocalCluster) -> None:
    cluster = local.connect(transport="tcp")
    space = cluster.space("closing-waits", block_bytes=BLOCK_BYTES, create=True)
    found: list[int] = []
    thread = threading.Thread(
        target=lambda: found.append(space.exists(keys(0, 8), deadline=60).count)
    )
    for node in local.data_nodes:
        node.pause()
    try:
        thread.start()
        wait_for("the call's start", lambda: cluster.stats()["operations_in_flight"] == 1, 10)
        cluster.close()
        thread.join(10)
    finally:
        for node in local.data_nodes:
            node.resume()
    assert found == [0]


def test_too_many_at_once_are_refused_as_busy(local: holdfast.LocalCluster) -> None:
    with local.connect(limits=holdfast.Limits(operations_max=4)) as cluster:
        space = cluster.space("busy", block_bytes=BLOCK_BYTES, create=True)
        local.data_nodes[0].pause()
        try:
            pending = [space.futures.match(keys(0, 64), deadline=2) for _ in range(4)]
            with pytest.raises(holdfast.Busy, match="4"):
                space.futures.match(keys(0, 64), deadline=2)
            for one in pending:
                one.cancel()
        finally:
            local.data_nodes[0].resume()
