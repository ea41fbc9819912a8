"""Real data nodes and a real metadata member: join, heartbeats, stop, kill, pause."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast.local_cluster.local_cluster import LocalCluster
from holdfast_proto import meta_pb2
from tests.datanode.process_rig import Blocks, ProcessRig, layout
from tests.datanode.waiting import wait_for

pytestmark = pytest.mark.process
BLOCKS = 200


@pytest.fixture
def rig() -> Iterator[ProcessRig]:
    with LocalCluster(layout(data_nodes=2)) as local:
        yield ProcessRig(local)


@pytest.fixture
def cluster(rig: ProcessRig) -> Iterator[holdfast.Cluster]:
    with rig.local.connect(transport="tcp") as cluster:
        yield cluster


def test_a_node_tells_its_load(rig: ProcessRig, cluster: holdfast.Cluster) -> None:
    assert Blocks(cluster, BLOCKS).put() == BLOCKS
    ids = [rig.node_id(daemon) for daemon in rig.local.data_nodes]
    wait_for(lambda: sum(rig.node(each).load.blocks for each in ids) == BLOCKS)
    for each in ids:
        node = rig.node(each)
        assert node.state == meta_pb2.NODE_STATE_UP
        assert node.load.capacity_bytes == 64 << 20
        assert node.groups > 0


def test_a_stopped_node_leaves_in_order_and_comes_back_empty_under_its_id(
    rig: ProcessRig, cluster: holdfast.Cluster
) -> None:
    blocks = Blocks(cluster, BLOCKS)
    assert blocks.put() == BLOCKS
    daemon = rig.local.data_nodes[0]
    node_id = rig.node_id(daemon)
    before = rig.node(node_id)
    daemon.stop()
    assert daemon.exit_code == 0
    assert not (daemon.config_path.parent / "state" / "ready.json").exists()
    daemon.start()
    assert rig.node_id(daemon) == node_id
    rig.wait_for_state(node_id, meta_pb2.NODE_STATE_UP)
    after = rig.node(node_id)
    assert after.incarnation != before.incarnation
    assert after.groups == before.groups
    wait_for(lambda: blocks.put() == BLOCKS)
    wait_for(lambda: blocks.found() == BLOCKS)


def test_a_killed_node_is_down_keeps_its_groups_and_comes_back(
    rig: ProcessRig, cluster: holdfast.Cluster
) -> None:
    blocks = Blocks(cluster, BLOCKS)
    assert blocks.put() == BLOCKS
    daemon = rig.local.data_nodes[0]
    node_id = rig.node_id(daemon)
    groups = rig.node(node_id).groups
    daemon.kill()
    rig.wait_for_state(node_id, meta_pb2.NODE_STATE_DOWN)
    assert rig.node(node_id).groups == groups
    assert 0 < blocks.found() < BLOCKS
    daemon.start()
    rig.wait_for_state(node_id, meta_pb2.NODE_STATE_UP)
    wait_for(lambda: blocks.put() == BLOCKS)
    wait_for(lambda: blocks.found() == BLOCKS)


def test_a_paused_node_still_has_its_blocks_and_nothing_moves(
    rig: ProcessRig, cluster: holdfast.Cluster
) -> None:
    blocks = Blocks(cluster, BLOCKS)
    assert blocks.put() == BLOCKS
    daemon = rig.local.data_nodes[0]
    node_id = rig.node_id(daemon)
    before = rig.node(node_id)
    daemon.pause()
    rig.wait_for_state(node_id, meta_pb2.NODE_STATE_DOWN)
    daemon.resume()
    rig.wait_for_state(node_id, meta_pb2.NODE_STATE_UP)
    after = rig.node(node_id)
    assert (after.incarnation, after.groups) == (before.incarnation, before.groups)
    assert after.groups_to_move == 0
    wait_for(lambda: blocks.found() == BLOCKS)


def test_a_cluster_that_has_started_serves_by_its_newest_map() -> None:
    # The next heartbeat is a minute away: nodes tell of a new map when they have it.
    layout = holdfast.LocalLayout(
        data_nodes=3, arena_mib=16, heartbeat_interval_ms=60_000, down_after_ms=120_000
    )
    with holdfast.LocalCluster(layout) as local:
        listed = local.admin.list_nodes()
        assert [node.load.epoch for node in listed.nodes] == [listed.epoch] * 3


def test_the_leader_is_followed_when_the_member_restarts(
    rig: ProcessRig, cluster: holdfast.Cluster
) -> None:
    blocks = Blocks(cluster, BLOCKS)
    assert blocks.put() == BLOCKS
    (member,) = rig.local.members
    member.kill()
    member.start()
    rig.local.wait_for_nodes(2)
    assert blocks.found() == BLOCKS


def test_figures_are_served_and_signals_pause_background_work(rig: ProcessRig) -> None:
    daemon = rig.add_node("data-x", '[metrics]\nlisten = "127.0.0.1:0"\n')
    address = rig.ready(daemon)["metrics_address"]

    def figures() -> str:
        with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    assert "holdfast_datanode_capacity_bytes 6.7108864e+07" in figures()
    paused = 'worker_state{state="paused",worker="expire"} 1.0'
    os.kill(daemon.pid, signal.SIGUSR1)
    wait_for(lambda: paused in figures())
    os.kill(daemon.pid, signal.SIGUSR2)
    wait_for(lambda: paused not in figures())


def run_to_its_end(config: Path) -> tuple[int, str]:
    ended = subprocess.run(
        [sys.executable, "-m", "holdfast_datanode", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stderr


def test_two_processes_cannot_be_one_node(rig: ProcessRig) -> None:
    status, words = run_to_its_end(rig.local.data_nodes[0].config_path)
    assert status == 2
    assert "in use by another data node" in words


def test_a_configuration_that_does_not_hold_is_named(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text("arena_mib = 0\n")
    status, words = run_to_its_end(config)
    assert status == 2
    assert "data_directory is missing" in words
    assert "arena_mib is 0, it must be at least 1" in words


def test_a_node_whose_address_is_in_use_does_not_join(rig: ProcessRig, tmp_path: Path) -> None:
    text = rig.local.data_nodes[0].config_path.read_text()
    dropped = ("data_dir", "unix_path", "host")
    lines = [line for line in text.splitlines() if not line.startswith(dropped)]
    config = tmp_path / "node.toml"
    config.write_text('data_directory = "state"\n' + "\n".join(lines))
    status, words = run_to_its_end(config)
    assert status == 1
    assert "cannot listen at 127.0.0.1:" in words
    assert len(rig.local.admin.list_nodes().nodes) == 2


def test_a_node_with_another_secret_is_refused(rig: ProcessRig, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not the secret of this cluster")
    text = rig.local.data_nodes[0].config_path.read_text()
    dropped = ("data_dir", "secret", "listen")
    lines = [line for line in text.splitlines() if not line.startswith(dropped)]
    config = tmp_path / "node.toml"
    config.write_text(
        f'data_directory = "state"\nsecret = "file:{tmp_path}/secret"\n'
        + 'listen = "127.0.0.1:0"\n'
        + "\n".join(lines)
    )
    status, words = run_to_its_end(config)
    assert status == 1
    assert f"the secret from file:{tmp_path}/secret is not this cluster's" in words


def test_a_node_without_a_cluster_gives_up(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret of sixteen bytes or more")
    config = tmp_path / "node.toml"
    config.write_text(
        f'data_directory = "state"\nmembers = ["127.0.0.1:1"]\narena_mib = 16\n'
        f'secret = "file:{tmp_path}/secret"\njoin_deadline_s = 1\n'
    )
    status, words = run_to_its_end(config)
    assert status == 1
    assert "no metadata member took Join within 1000 ms (tried 127.0.0.1:1)" in words
