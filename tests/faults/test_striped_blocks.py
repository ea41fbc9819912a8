"""Erasure-coded spaces on real daemons: nodes killed and stopped, chunks damaged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import holdfast
from holdfast import Status
from holdfast.local_cluster.waiting import wait_for
from tests.client.blocks import check_blocks, contents, keys, put_blocks
from tests.faults.load import Load

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(240)]

BLOCK_BYTES = 70_000
BLOCKS = 40


@pytest.fixture
def six() -> Iterator[holdfast.LocalCluster]:
    layout = holdfast.LocalLayout(
        data_nodes=6,
        arena_mib=64,
        fault_injection=True,
        down_after_ms=600_000,
        out_after_ms=3_600_000,
    )
    with holdfast.LocalCluster(layout) as running:
        yield running


@pytest.fixture(params=["tcp", "shm"])
def space(request: pytest.FixtureRequest, six: holdfast.LocalCluster) -> Iterator[holdfast.Space]:
    with six.connect(transport=request.param) as cluster:
        yield cluster.space("striped", block_bytes=BLOCK_BYTES, redundancy="ec:4+2", create=True)


def test_two_of_six_nodes_may_die(six: holdfast.LocalCluster, space: holdfast.Space) -> None:
    put_blocks(space, 0, BLOCKS)
    check_blocks(space, 0, BLOCKS)
    for node in six.data_nodes[1:3]:
        node.kill()
        check_blocks(space, 0, BLOCKS)
        assert all(space.exists(keys(0, BLOCKS)))
    six.data_nodes[3].kill()
    place = np.zeros((BLOCKS, BLOCK_BYTES), np.uint8)
    with space.register(place) as region:
        result = space.get(keys(0, BLOCKS), region.blocks())
    assert result.hits == 0


def test_a_node_that_stands_still_is_done_without(
    six: holdfast.LocalCluster, space: holdfast.Space
) -> None:
    put_blocks(space, 0, BLOCKS)
    six.data_nodes[4].pause()
    for _ in range(20):
        check_blocks(space, 0, BLOCKS)
    put_blocks(space, BLOCKS, BLOCKS)
    check_blocks(space, BLOCKS, BLOCKS)
    six.data_nodes[4].resume()
    check_blocks(space, 0, 2 * BLOCKS)


def test_a_put_of_stored_blocks_is_present(space: holdfast.Space) -> None:
    put_blocks(space, 0, BLOCKS)
    with space.register(contents(0, BLOCKS, BLOCK_BYTES)) as region:

        def are_present() -> bool:
            # A node that was late before gets its chunks by the way.
            again = space.put(keys(0, BLOCKS), region.blocks())
            assert again.all_kept, again.reasons
            return list(again.raw) == [Status.PRESENT] * BLOCKS

        wait_for("all chunks on every node", are_present, 30)


def test_deleted_blocks_are_gone_from_every_node(
    six: holdfast.LocalCluster, space: holdfast.Space
) -> None:
    put_blocks(space, 0, BLOCKS)
    wait_for("chunks on every node", lambda: sum(fills(six)) >= 5 * BLOCKS, 30)
    space.delete(keys(0, BLOCKS))
    wait_for("their removal", lambda: sum(fills(six)) == 0, 30)
    assert not any(space.exists(keys(0, BLOCKS)))


def fills(local: holdfast.LocalCluster) -> list[int]:
    """Blocks that each data node holds."""
    return [node.load.blocks for node in local.admin.status().nodes]


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_node_lost_under_load_costs_nothing(six: holdfast.LocalCluster, how: str) -> None:
    victim = six.data_nodes[2]
    with six.connect() as cluster:
        space = cluster.space("load", block_bytes=4096, redundancy="ec:4+2", create=True)
        with Load(space) as load:
            load.wait_until_it_serves()
            getattr(victim, how)()
            load.wait_until_it_serves()
            if how == "kill":
                victim.restart()
            else:
                victim.resume()
            wait_for("the node's return", lambda: space.exists(keys(0, 1)) is not None, 30)
            load.wait_until_it_serves()
        load.check()
