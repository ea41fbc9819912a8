"""`holdfast up` in processes of its own: what a second one, a refusal or a signal leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.cli.exit_codes import ExitCode
from holdfast.local_cluster.waiting import wait_for
from tests.client.command_process import run_command

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

START_S = 60.0
STOP_S = 30.0
READY = "try `holdfast status`"
STARTING = "starting 1 metadata members"
WITH_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "holdfast", *sys.argv[1:]])
"""


class Machine:
    """A home and a folder for temporary files, which nothing else uses."""

    def __init__(self, folder: Path) -> None:
        self.context = folder / "config" / "holdfast" / "context.toml"
        self.temporary = folder / "t"
        self.temporary.mkdir()
        self._folder = folder
        self.environment = {
            **{name: text for name, text in os.environ.items() if "HOLDFAST" not in name},
            "XDG_CONFIG_HOME": str(folder / "config"),
            "TMPDIR": str(self.temporary),
        }

    def run(self, *arguments: str, status: int = 0) -> str:
        """Both outputs of a command that ends with `status`."""
        return run_command(self.environment, *arguments, status=status)

    def address(self) -> str:
        """Of the cluster that commands without options reach: it must be well."""
        self.run("status")
        lines = self.context.read_text().splitlines()
        return next(line for line in lines if line.startswith("address"))

    @contextmanager
    def up(self, *options: str, until: str = READY) -> Iterator[Up]:
        """A cluster of one data node that has said `until`."""
        log = self._folder / f"up-{len(list(self._folder.glob('up-*')))}.log"
        command = [sys.executable, "-m", "holdfast", "up", "--arena-mib", "16", *options]
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command, env=self.environment, stdout=output, stderr=output
            ) as process,
        ):
            started = Up(process, log)
            try:
                started.wait_for(until)
                yield started
            finally:
                process.kill()


class Up:
    """One `holdfast up`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def said(self) -> str:
        """Both outputs so far."""
        return self._log.read_text()

    def wait_for(self, text: str) -> None:
        """Until it has said `text`."""
        wait_for(
            f"{text!r} of `up`",
            lambda: text in self.said() or self.process.poll() is not None,
            START_S,
        )
        assert text in self.said()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


@pytest.fixture
def machine() -> Iterator[Machine]:
    # Not below tmp_path: paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="hf-") as folder:
        yield Machine(Path(folder))


# ------------------------------------------------------------------------ the context file


def test_a_second_cluster_gives_the_context_back(machine: Machine) -> None:
    with machine.up() as first:
        before = machine.context.read_bytes()
        address = machine.address()
        with machine.up() as second:
            assert machine.address() != address
            replaced = address.partition('"')[2].rstrip('"')
            assert f"replaces the context of the cluster at {replaced}" in second.said()
            assert second.end() == 0
        assert machine.context.read_bytes() == before
        assert machine.address() == address
        assert first.end() == 0
    assert not machine.context.exists()


def test_a_context_whose_cluster_ended_first_does_not_come_back(
    machine: Machine, tmp_path: Path
) -> None:
    with machine.up() as first, machine.up("--data", str(tmp_path)) as second:
        address = machine.address()
        assert first.end() == 0
        assert machine.address() == address
        assert second.end() == 0
    # A folder that is kept keeps its context, too, and finds it to be its own.
    assert str(tmp_path) in machine.context.read_text()
    with machine.up("--data", str(tmp_path)) as again:
        assert "replaces" not in again.said()
        assert again.end() == 0
    assert str(tmp_path) in machine.context.read_text()


def test_a_context_written_by_hand_comes_back_as_it_was(machine: Machine) -> None:
    machine.context.parent.mkdir(parents=True)
    text = '# ours\naddress = "far.example:9000"\nkey = "env:TEAM_KEY"\n'
    machine.context.touch(0o600)
    machine.context.write_text(text)
    with machine.up() as started:
        assert "at far.example:9000, which is put back" in started.said()
        assert started.end() == 0
    assert machine.context.read_text() == text


def test_a_file_that_is_no_context_is_not_overwritten(machine: Machine, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.touch(0o600)
    notes.write_text("not a context")
    said = machine.run("up", "--context", str(notes), status=ExitCode.USAGE)
    assert "cannot be read" in said
    assert notes.read_text() == "not a context"
    assert list(machine.temporary.iterdir()) == []


# ------------------------------------------------------------------------ refusals


def test_a_folder_in_use_is_not_said_to_have_changed(machine: Machine, tmp_path: Path) -> None:
    with machine.up("--data", str(tmp_path), "-n", "2") as first:
        form = (tmp_path / "cluster.json").read_bytes()
        again = ("up", "--data", str(tmp_path), "--arena-mib", "16")
        said = machine.run(*again, status=ExitCode.FAILED)
        assert "already" in said
        assert "was made with" not in said
        assert (tmp_path / "cluster.json").read_bytes() == form
        assert first.end() == 0
    with machine.up("--data", str(tmp_path)) as fewer:
        assert "was made with --data-nodes 2: from now on it is 1" in fewer.said()
        assert fewer.said().index("was made with") < fewer.said().index(STARTING)
        assert json.loads((tmp_path / "cluster.json").read_text())["layout"]["data_nodes"] == 1


def test_a_bad_name_of_a_tenant_is_refused_before_anything_starts(machine: Machine) -> None:
    said = machine.run("up", "--arena-mib", "16", "--tenant", "bad name!", status=ExitCode.USAGE)
    assert "tenant name 'bad name!' is not valid" in said
    assert "starting" not in said
    assert list(machine.temporary.iterdir()) == []


# ------------------------------------------------------------------------ signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("step", [STARTING, "starting 1 data nodes"])
def test_a_signal_during_the_start_leaves_nothing(
    machine: Machine, number: signal.Signals, step: str
) -> None:
    with machine.up(until=step) as started:
        assert started.end(number) == ExitCode.INTERRUPTED
        assert READY not in started.said()
    assert list(machine.temporary.iterdir()) == []
    assert not machine.context.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_a_running_cluster_leaves_nothing(
    machine: Machine, number: signal.Signals
) -> None:
    with machine.up() as started:
        assert len(list(machine.temporary.iterdir())) == 1
        assert started.end(number) == 0
    assert list(machine.temporary.iterdir()) == []
    assert not machine.context.exists()


def test_a_terminal_that_closes_leaves_nothing(machine: Machine) -> None:
    ours, terminal = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", WITH_TERMINAL, "up", "--arena-mib", "16"],
            env=machine.environment,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
    finally:
        os.close(terminal)
    with process:
        try:
            said = b""
            while b"Ctrl-C stops all" not in said:
                said += os.read(ours, 4096)
            os.close(ours)
            process.wait(STOP_S)
        finally:
            process.kill()
    assert list(machine.temporary.iterdir()) == []
    assert not machine.context.exists()


def test_a_cluster_under_nohup_outlives_its_terminal(machine: Machine) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with machine.up() as started:
            started.process.send_signal(signal.SIGHUP)
            machine.address()
            assert started.process.poll() is None
            assert started.end() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_killed_cluster_left_is_removed_by_the_next_one(machine: Machine) -> None:
    kept = machine.temporary / "holdfast-mine"
    with machine.up("--data", str(kept)) as own:
        assert own.end() == 0
    (machine.temporary / "holdfast-others").mkdir()
    with machine.up() as running, machine.up() as killed:
        context = machine.context.read_text()
        killed.process.kill()
        killed.process.wait(STOP_S)
        folders = {path.name for path in machine.temporary.iterdir()}
        with machine.up() as last:
            assert "replaces" not in last.said()
            left = {path.name for path in machine.temporary.iterdir()}
            gone = folders - left
            assert len(gone) == 1
            assert gone.pop() in context
            # One that runs, one that somebody named, and one that this program did not make.
            assert len(folders & left) == 3
            assert last.end() == 0
        assert running.end() == 0
    assert {path.name for path in machine.temporary.iterdir()} == {kept.name, "holdfast-others"}
