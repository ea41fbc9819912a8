"""A connection reset in the middle of a payload, in both directions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.faults.load import fill, keys_of
from tests.faults.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(120)]

BLOCK_BYTES = 256 << 10
BLOCKS = 16


@pytest.fixture
def proxy(one_of_each: holdfast.LocalCluster) -> Iterator[TcpProxy]:
    """Stands between every client and the one data node."""
    node = one_of_each.data_nodes[0]
    listen = one_of_each.admin.list_nodes().nodes[0].tcp_address
    with TcpProxy(listen) as between:
        text = node.config_path.read_text()
        node.config_path.write_text(f'advertise = "{between.address}"\n{text}')
        node.restart()
        wait_for(
            "the node's new address",
            lambda: any(
                found.tcp_address == between.address and found.state == 1
                for found in one_of_each.admin.list_nodes().nodes
            ),
            30,
        )
        yield between


def test_a_reset_read_is_a_miss_and_the_next_one_works(
    one_of_each: holdfast.LocalCluster, proxy: TcpProxy
) -> None:
    with one_of_each.connect(transport="tcp") as cluster:
        space = cluster.space("resets", block_bytes=BLOCK_BYTES, create=True)
        memory = np.zeros((BLOCKS, BLOCK_BYTES), np.uint8)
        expected = np.zeros_like(memory)
        for block in range(BLOCKS):
            fill(block, expected[block])
        assert space.put(keys_of(0, BLOCKS), space.register(expected).blocks()).stored == BLOCKS
        segments = space.register(memory).blocks()

        proxy.cut_after_down = BLOCKS * BLOCK_BYTES // 2
        result = space.get(keys_of(0, BLOCKS), segments, deadline=2)
        assert proxy.cuts > 0
        assert not result.all_hit
        for block in np.flatnonzero(result.hit_mask).tolist():
            assert np.array_equal(memory[block], expected[block])

        proxy.cut_after_down = None
        wait_for(
            "the way back",
            lambda: space.get(keys_of(0, BLOCKS), segments, deadline=2).all_hit,
            30,
        )
        assert np.array_equal(memory, expected)


def test_a_reset_write_is_unknown_or_not_stored_and_never_torn(
    one_of_each: holdfast.LocalCluster, proxy: TcpProxy
) -> None:
    with one_of_each.connect(transport="tcp") as cluster:
        space = cluster.space("resets", block_bytes=BLOCK_BYTES, create=True)
        expected = np.zeros((BLOCKS, BLOCK_BYTES), np.uint8)
        for block in range(BLOCKS):
            fill(block, expected[block])
        source = space.register(expected).blocks()
        memory = np.zeros_like(expected)
        segments = space.register(memory).blocks()

        proxy.cut_after_up = BLOCKS * BLOCK_BYTES // 2
        result = space.put(keys_of(0, BLOCKS), source, deadline=2)
        assert proxy.cuts > 0
        assert not result.all_kept

        proxy.cut_after_up = None
        wait_for(
            "the way back",
            lambda: space.put(keys_of(0, BLOCKS), source, deadline=2).all_kept,
            30,
        )
        assert space.get(keys_of(0, BLOCKS), segments).all_hit
        assert np.array_equal(memory, expected)
