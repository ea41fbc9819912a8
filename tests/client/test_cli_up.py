"""Clusters on this machine whose folder was used before."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast

pytestmark = pytest.mark.process


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_drained_and_weightless_nodes_do_not_keep_a_cluster_from_starting(tmp_path: Path) -> None:
    layout = holdfast.LocalLayout(data_nodes=3, arena_mib=16)
    with holdfast.LocalCluster(layout, tmp_path) as running:
        nodes = [node.id for node in running.admin.list_nodes().nodes]
        running.admin.drain_node(nodes[0])
        running.admin.set_node_weight(nodes[1], 0)
    with holdfast.LocalCluster(layout, tmp_path) as running:
        with running.connect() as cluster:
            space = cluster.space("kept", block_bytes=4096, create=True)
            with space.allocate(4096) as region:
                assert space.put([b"key"], region.blocks(indices=[0])).stored == 1
        with pytest.raises(holdfast.DeadlineExceeded, match=r"node \d+ at .* is draining with 0"):
            running.wait_for_nodes(4, deadline_s=0.2)


@pytest.mark.timeout(120)
def test_a_folder_belongs_to_one_cluster_and_one_tenant(tmp_path: Path) -> None:
    layout = holdfast.LocalLayout(data_nodes=0, tenant="first")
    other = holdfast.LocalLayout(data_nodes=0, tenant="other")
    with (
        holdfast.LocalCluster(layout, tmp_path),
        pytest.raises(holdfast.FailedPrecondition, match=r"runs in .* already"),
        holdfast.LocalCluster(layout, tmp_path),
    ):
        pass
    with (
        pytest.raises(holdfast.FailedPrecondition, match="--tenant first"),
        holdfast.LocalCluster(other, tmp_path),
    ):
        pass
    with holdfast.LocalCluster(layout, tmp_path) as again, again.connect() as cluster:
        assert cluster.spaces() == []


@pytest.mark.parametrize("life_s", [4, 86_401])
def test_a_life_of_tickets_that_members_refuse_is_refused_at_once(life_s: int) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="ticket_life_s"):
        holdfast.LocalLayout(ticket_life_s=life_s)
