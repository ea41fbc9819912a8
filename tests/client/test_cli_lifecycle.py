"""Nodes that come and go under `holdfast up`, and what their operator is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.drain import DrainLines, left_on, waits_for
from holdfast.cli.exit_codes import ExitCode
from holdfast.errors import FailedPrecondition, Unavailable
from holdfast.local_cluster.daemon_process import DaemonProcess
from holdfast.local_cluster.supervisor import EXIT_REMOVED, RESTARTS_MAX, Supervisor
from holdfast.local_cluster.waiting import wait_for
from holdfast_proto import meta_pb2 as pb
from tests.client.command_process import run_command

START_S = 60.0


class CommandLine:
    """`holdfast` in processes of its own, with a context file of its own."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self._context = folder / "context.toml"
        self._log = folder / "up.log"
        self._environment = {**os.environ, "HOLDFAST_CONTEXT": str(self._context)}

    def run(self, *arguments: str, status: int = 0) -> str:
        """Both outputs of a command that ends with `status`."""
        return run_command(self._environment, *arguments, status=status)

    def nodes(self) -> dict[int, dict[str, Any]]:
        """Data nodes by id, as `status` shows them."""
        found = json.loads(self.run("status", "--json"))["nodes"]
        return {int(node["id"]): node for node in found}

    def said(self) -> str:
        """What `up` has said since its last start."""
        return self._log.read_text()

    @contextmanager
    def up(self) -> Iterator[subprocess.Popen[bytes]]:
        """A cluster of two data nodes, ready; it must still run at the end."""
        command = ("up", "--arena-mib", "32", "-n", "2", "--data", str(self.data))
        with (
            self._log.open("wb") as log,
            subprocess.Popen(
                [sys.executable, "-m", "holdfast", *command, "--context", str(self._context)],
                env=self._environment,
                stdout=log,
                stderr=log,
            ) as process,
        ):
            try:
                wait_for(
                    "start of `up`",
                    lambda: "context file" in self.said() or process.poll() is not None,
                    START_S,
                )
                assert process.poll() is None, self.said()
                yield process
                assert process.poll() is None, self.said()
                process.send_signal(signal.SIGINT)
                assert process.wait(30) == 0
            finally:
                process.kill()


@pytest.mark.process
@pytest.mark.timeout(240)
def test_a_removed_node_ends_alone_and_is_a_new_one_after_a_restart(tmp_path: Path) -> None:
    line = CommandLine(tmp_path)
    with line.up():
        line.run("node", "drain", "1")
        line.run("node", "remove", "1")
        wait_for("end of the node", lambda: "was removed from the cluster" in line.said(), START_S)
        assert "starting it again" not in line.said()
        assert list(line.nodes()) == [2]
    with line.up():
        nodes = line.nodes()
        assert list(nodes) == [2, 3]
        assert all(node["groups"] > 0 for node in nodes.values())
    assert len(list(line.data.glob("data-*/state/identity-removed-1.json"))) == 1


@pytest.mark.process
@pytest.mark.timeout(240)
def test_a_drain_is_told_refused_and_undone(tmp_path: Path) -> None:
    line = CommandLine(tmp_path)
    with line.up():
        nodes = line.nodes()
        # The folder's name and the id agree in a new cluster.
        assert {node["host"]: key for key, node in nodes.items()} == {"data-1": 1, "data-2": 2}
        assert "draining node 1: " in line.run("node", "drain", "1")
        refused = line.run("node", "drain", "2", status=ExitCode.FAILED)
        assert "no other data node could take its blocks now (node 1 is draining)" in refused
        line.run("node", "undrain", "1")
        wait_for("groups on node 1", lambda: line.nodes()[1]["groups"] > 0, START_S)
        refused = line.run("node", "remove", "1", status=ExitCode.FAILED)
        assert "--force" in refused
        (tmp_path / "wrong").write_text("not the secret of this cluster\n")
        wrong = f"file:{tmp_path}/wrong"
        refused = line.run("--secret", wrong, "node", "list", status=ExitCode.REFUSED)
        assert f"the secret from {wrong} is not this cluster's" in refused


def test_a_drain_is_told_in_lines_when_something_changed_and_not_too_often() -> None:
    lines = DrainLines(3)
    assert lines.next(9, "", 100.0) == "draining node 3: 9 groups left"
    assert lines.next(8, "", 104.9) is None
    assert lines.next(7, "", 105.0) == "draining node 3: 7 groups left"
    assert lines.next(7, "", 200.0) is None
    assert lines.next(7, ", waiting for node 2, down", 201.0) is not None


def test_a_drain_names_the_nodes_that_it_waits_for() -> None:
    def node(number: int, state: pb.NodeState.ValueType, to_move: int) -> pb.NodeInfo:
        return pb.NodeInfo(id=number, state=state, groups_to_move=to_move)

    nodes = [
        node(1, pb.NODE_STATE_DRAINING, 4),
        node(2, pb.NODE_STATE_DOWN, 4),
        node(3, pb.NODE_STATE_DOWN, 0),
        node(4, pb.NODE_STATE_UP, 4),
    ]
    assert waits_for(nodes, 1) == ", waiting for node 2, down"
    assert waits_for([nodes[0], nodes[3]], 1) == ""
    assert left_on(nodes, 1) == 4
    with pytest.raises(FailedPrecondition, match="drain of node 4 was ended meanwhile"):
        left_on(nodes, 4)


def test_a_drain_of_a_node_that_is_silent_itself_says_so_and_what_to_do() -> None:
    silent = pb.NodeInfo(id=4, state=pb.NODE_STATE_DRAINING, groups=100)
    up = pb.NodeInfo(id=1, state=pb.NODE_STATE_UP, load=pb.NodeLoad())
    down = pb.NodeInfo(id=2, state=pb.NODE_STATE_DOWN, groups_to_move=4)
    said = waits_for([silent, up], 4)
    assert said.startswith(", node 4 itself does not answer (start it again, or ")
    assert "`holdfast node remove 4 --force`" in said
    both = waits_for([silent, up, down], 4)
    assert both == f"{said}, waiting for node 2, down"
    # A follower that answers while nobody leads has heard of no node.
    assert waits_for([silent, pb.NodeInfo(id=1, state=pb.NODE_STATE_UP)], 4) == ""

    silent.load.blocks = 1
    silent.heartbeat_age_ms = 60_000
    assert waits_for([silent, up], 4) == said
    silent.heartbeat_age_ms = 400
    assert waits_for([silent, up], 4) == ""


# ------------------------------------------------------------------------ who is started again


class DaemonTwin(DaemonProcess):
    """A daemon without a process, which ends when the test says so."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, "nothing", folder / "config.toml", folder / f"{name}.log")
        self.starts = 0
        self.ended: int | None = None

    @property
    def running(self) -> bool:
        return self.ended is None

    @property
    def exit_code(self) -> int | None:
        return self.ended

    def start(self) -> None:
        self.starts += 1
        self.ended = None


class SupervisorRig:
    def __init__(self, folder: Path) -> None:
        self.now_s = 1000.0
        self.said: list[str] = []
        self.member = DaemonTwin("meta-1", folder)
        self.nodes = [DaemonTwin(f"data-{number}", folder) for number in (1, 2)]
        clock: Callable[[], float] = lambda: self.now_s  # noqa: E731
        self.supervisor = Supervisor([self.member], self.nodes, self.said.append, clock)

    def end_often(self, daemon: DaemonTwin) -> None:
        for _ in range(RESTARTS_MAX + 3):
            daemon.ended = 1
            self.supervisor.look()


def test_a_node_that_keeps_failing_is_left_and_the_others_are_looked_after(tmp_path: Path) -> None:
    rig = SupervisorRig(tmp_path)
    failing, other = rig.nodes
    rig.end_often(failing)
    assert failing.starts == RESTARTS_MAX
    assert sum("data-1 ended 6 times within 60 s" in said for said in rig.said) == 1
    other.ended = -9
    rig.supervisor.look()
    assert other.starts == 1
    rig.now_s += 61
    other.ended = -9
    rig.supervisor.look()
    assert other.starts == 2


def test_a_removed_node_is_not_started_again(tmp_path: Path) -> None:
    rig = SupervisorRig(tmp_path)
    rig.nodes[0].ended = EXIT_REMOVED
    rig.supervisor.look()
    rig.supervisor.look()
    assert rig.nodes[0].starts == 0
    assert len(rig.said) == 1


def test_a_cluster_without_metadata_members_ends(tmp_path: Path) -> None:
    rig = SupervisorRig(tmp_path)
    with pytest.raises(Unavailable, match="no metadata member runs any more"):
        rig.end_often(rig.member)
