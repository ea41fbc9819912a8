"""Processes killed and stopped under load: misses, never errors, never wrong bytes."""

from __future__ import annotations

import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.faults.conftest import BLOCK_BYTES
from tests.faults.load import Load

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.parametrize("how", ["kill", "pause"])
@pytest.mark.parametrize("redundancy", ["single", "mirror:2"])
def test_a_data_node_lost_under_load_costs_misses_alone(
    three_of_each: holdfast.LocalCluster, transport: str, how: str, redundancy: str
) -> None:
    victim = three_of_each.data_nodes[1]
    with three_of_each.connect(transport="tcp" if transport == "tcp" else "shm") as cluster:
        space = cluster.space("load", block_bytes=BLOCK_BYTES, redundancy=redundancy, create=True)
        with Load(space) as load:
            load.wait_until_it_serves()
            getattr(victim, how)()
            load.wait_until_it_serves()
            wait_for("word of the loss", lambda: up_nodes(three_of_each) == 2, 30)
            load.wait_until_it_serves()
            if how == "kill":
                victim.restart()
            else:
                victim.resume()
            wait_for("return of the node", lambda: up_nodes(three_of_each) == 3, 30)
            load.wait_until_it_serves()
        load.check()


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_a_leader_lost_under_load_is_not_noticed_by_calls(
    three_of_each: holdfast.LocalCluster, how: str
) -> None:
    leader = three_of_each.leader()
    with three_of_each.connect() as cluster:
        space = cluster.space("load", block_bytes=BLOCK_BYTES, create=True)
        with Load(space) as load:
            load.wait_until_it_serves()
            getattr(leader, how)()
            load.wait_until_it_serves()
            wait_for("a next leader", lambda: can_create(cluster), 30)
            if how == "kill":
                leader.restart()
            else:
                leader.resume()
            three_of_each.wait_for_members(30)
            load.wait_until_it_serves()
        load.check()


def test_all_members_killed_at_once_lose_nothing_acknowledged(
    three_of_each: holdfast.LocalCluster,
) -> None:
    with three_of_each.connect() as cluster:
        spaces = {
            name: cluster.space(name, block_bytes=512, create=True).number
            for name in ("first", "second", "third")
        }
        load_space = cluster.space("load", block_bytes=BLOCK_BYTES, create=True)
        with Load(load_space) as load:
            load.wait_until_it_serves()
            for member in three_of_each.members:
                member.kill()
            # Blocks are served from the last map while nobody decides.
            load.wait_until_it_serves()
            for member in three_of_each.members:
                member.restart()
            wait_for("a leader", lambda: can_create(cluster), 60)
            load.wait_until_it_serves()
        load.check()
        assert {name: cluster.space(name).number for name in spaces} == spaces
        assert cluster.space("after", block_bytes=512, create=True).number > max(spaces.values())


def up_nodes(running: holdfast.LocalCluster) -> int:
    return sum(node.state == 1 for node in running.admin.list_nodes().nodes)


def can_create(cluster: holdfast.Cluster) -> bool:
    try:
        cluster.space("probe", block_bytes=512, create=True)
    except holdfast.HoldfastError as error:
        if not error.retryable:
            raise
        return False
    return True
