"""Real data nodes come and go, and the blocks follow the map."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import holdfast
from holdfast.local_cluster.local_cluster import LocalCluster
from holdfast_proto import meta_pb2
from tests.datanode.process_rig import Blocks, ProcessRig, layout
from tests.datanode.waiting import wait_for

pytestmark = pytest.mark.process
BLOCKS = 300


@pytest.fixture
def rig() -> Iterator[ProcessRig]:
    with LocalCluster(layout(data_nodes=2)) as local:
        yield ProcessRig(local)


@pytest.fixture
def cluster(rig: ProcessRig) -> Iterator[holdfast.Cluster]:
    with rig.local.connect(transport="tcp") as cluster:
        yield cluster


def blocks_on(rig: ProcessRig, *node_ids: int) -> list[int]:
    return [rig.node(node_id).load.blocks for node_id in node_ids]


@pytest.mark.parametrize("redundancy", ["single", "mirror:2"])
def test_a_joining_node_takes_its_share_and_nothing_is_missed(
    rig: ProcessRig, cluster: holdfast.Cluster, redundancy: str
) -> None:
    blocks = Blocks(cluster, BLOCKS, redundancy)
    assert blocks.put() == BLOCKS
    old = [rig.node_id(daemon) for daemon in rig.local.data_nodes]
    joining = rig.node_id(rig.add_node("data-x"))
    wait_for(lambda: rig.node(joining).groups > 0)
    assert blocks.found() == BLOCKS
    rig.wait_until_settled()
    copies = 2 if redundancy == "mirror:2" else 1
    # Heartbeats tell the load a moment later.
    wait_for(lambda: blocks_on(rig, joining)[0] > 0)
    wait_for(lambda: sum(blocks_on(rig, *old, joining)) == copies * BLOCKS)
    wait_for(lambda: blocks.found() == BLOCKS)


def test_a_drained_node_ends_empty_and_nothing_is_missed(
    rig: ProcessRig, cluster: holdfast.Cluster
) -> None:
    blocks = Blocks(cluster, BLOCKS)
    assert blocks.put() == BLOCKS
    leaving, staying = (rig.node_id(daemon) for daemon in rig.local.data_nodes)
    rig.local.admin.drain_node(leaving)
    wait_for(lambda: rig.node(leaving).groups == 0)
    assert blocks.found() == BLOCKS
    rig.wait_until_settled()
    wait_for(lambda: blocks_on(rig, leaving, staying) == [0, BLOCKS])
    assert rig.node(leaving).load.used_bytes == 0
    assert blocks.found() == BLOCKS
    rig.local.data_nodes[0].stop()
    rig.local.admin.remove_node(leaving)
    assert blocks.found() == BLOCKS


def test_a_move_from_a_node_that_died_ends(rig: ProcessRig, cluster: holdfast.Cluster) -> None:
    blocks = Blocks(cluster, BLOCKS)
    assert blocks.put() == BLOCKS
    dead = rig.local.data_nodes[0]
    dead_id = rig.node_id(dead)
    dead.kill()
    rig.wait_for_state(dead_id, meta_pb2.NODE_STATE_DOWN)
    joining = rig.add_node("data-x", "[workers]\nmove_wait_down_s = 1\n")
    wait_for(lambda: "previous owner given up" in joining.log_path.read_text())
    # Those groups are the new node's now; the dead one has its own to take once it is back.
    wait_for(lambda: blocks.put() < BLOCKS and rig.node(rig.node_id(joining)).load.blocks > 0)
    dead.start()
    rig.wait_for_state(dead_id, meta_pb2.NODE_STATE_UP)
    rig.wait_until_settled()
    wait_for(lambda: blocks.put() == BLOCKS)
    assert blocks.found() == BLOCKS


def test_blocks_of_a_deleted_space_are_dropped(rig: ProcessRig, cluster: holdfast.Cluster) -> None:
    blocks = Blocks(cluster, BLOCKS)
    assert blocks.put() == BLOCKS
    ids = [rig.node_id(daemon) for daemon in rig.local.data_nodes]
    wait_for(lambda: sum(blocks_on(rig, *ids)) == BLOCKS)
    cluster.delete_space(blocks.space.name)
    wait_for(lambda: sum(blocks_on(rig, *ids)) == 0)


def test_blocks_whose_time_is_over_are_dropped(rig: ProcessRig, cluster: holdfast.Cluster) -> None:
    space = cluster.space("short", block_bytes=4096, ttl=1, create=True)
    region = space.allocate(4096)
    assert space.put([b"key"], region.blocks()).kept == 1
    ids = [rig.node_id(daemon) for daemon in rig.local.data_nodes]
    wait_for(lambda: sum(blocks_on(rig, *ids)) == 1)
    wait_for(lambda: sum(blocks_on(rig, *ids)) == 0)
