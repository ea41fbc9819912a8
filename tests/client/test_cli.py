"""The `holdfast` command against a running cluster."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast._context import Context
from holdfast.cli import main
from holdfast.cli.context_file import store_context
from holdfast.cli.exit_codes import ExitCode
from holdfast.cli.status import as_values
from holdfast.cli.stored_file import HEAD_BYTES, StoredFile
from holdfast.local_cluster.waiting import wait_for

pytestmark = pytest.mark.process

Run = Callable[..., "Done"]


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    stdout: str
    stderr: str


@pytest.fixture
def run(local: holdfast.LocalCluster, tmp_path: Path) -> Run:
    """Runs `holdfast ARGUMENTS` with a context file for the shared cluster."""
    return runner(local, tmp_path / "context.toml")


def runner(running: holdfast.LocalCluster, context: Path) -> Run:
    """Runs `holdfast ARGUMENTS` in this process, with a context file for `running`."""
    reach = Context(
        address=running.address,
        tenant=running.tenant,
        key=f"file:{running.directory / 'tenant.key'}",
        secret=f"file:{running.secret_path}",
    )
    store_context(reach, context)

    def call(*arguments: str, stdin: str = "", expect: ExitCode = ExitCode.OK) -> Done:
        standard_input = io.TextIOWrapper(io.BytesIO(stdin.encode()))
        written, told = io.BytesIO(), io.BytesIO()
        stdout = io.TextIOWrapper(written, write_through=True)
        stderr = io.TextIOWrapper(told, write_through=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HOLDFAST_CONTEXT", str(context))
            patch.setenv("COLUMNS", "200")
            patch.setattr(sys, "argv", ["holdfast", *arguments])
            patch.setattr(sys, "stdin", standard_input)
            patch.setattr(sys, "stdout", stdout)
            patch.setattr(sys, "stderr", stderr)
            try:
                main()
                code: object = ExitCode.OK
            except SystemExit as ending:
                code = ending.code or ExitCode.OK
        done = Done(written.getvalue().decode(), told.getvalue().decode())
        assert code == expect, done
        return done

    return call


def test_status_for_people_and_programs(run: Run) -> None:
    lines = run("status").stdout.splitlines()
    assert "hit rate" in lines[0]
    assert any("\tleader\t" in line for line in lines)
    assert sum("\tup\t" in line for line in lines) == 3

    found = json.loads(run("status", "--json").stdout)
    assert found["healthy"] is True
    assert len(found["nodes"]) == 3
    assert found["members"][0]["leader"] is True
    assert found["nodes"][0]["load"]["capacity_bytes"] == 128 << 20


def test_the_life_of_a_tenant(run: Run, tmp_path: Path) -> None:
    key_file = tmp_path / "team.key"
    run("tenant", "create", "cli-team", "--limit-mib", "32", "--key-file", str(key_file))
    assert key_file.stat().st_mode & 0o077 == 0
    run("tenant", "create", "cli-team", expect=ExitCode.FAILED)
    assert "cli-team" in run("tenant", "list").stdout
    as_team = ("--tenant", "cli-team", "--key", f"file:{key_file}")
    run(*as_team, "space", "list")
    new_key = run("tenant", "rotate-key", "cli-team").stdout.strip()
    run(*as_team, "space", "list")
    run("tenant", "rotate-key", "cli-team", "--revoke-old")
    run(*as_team, "space", "list", expect=ExitCode.REFUSED)
    key_file.write_text(new_key)
    run(*as_team, "space", "list")
    run("tenant", "delete", "cli-team", "--yes")
    assert "cli-team" not in run("tenant", "list").stdout


def test_no_key_is_made_that_has_no_place_to_go(run: Run, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "no" / "key")
    run("tenant", "create", "unheard", "--key-file", nowhere, expect=ExitCode.NOT_FOUND)
    assert "unheard" not in run("tenant", "list").stdout
    key_file = tmp_path / "heard.key"
    run("tenant", "create", "heard", "--key-file", str(key_file))
    before = key_file.read_text()
    run("tenant", "rotate-key", "heard", "--key-file", nowhere, expect=ExitCode.NOT_FOUND)
    run(
        "tenant",
        "rotate-key",
        "unheard",
        "--key-file",
        str(tmp_path / "x"),
        expect=ExitCode.NOT_FOUND,
    )
    assert not (tmp_path / "x").exists()
    assert key_file.read_text() == before
    run("tenant", "delete", "heard", "--yes")


def test_the_life_of_a_space(run: Run) -> None:
    run("space", "create", "cli-space", "--block-bytes", "4096", "--redundancy", "mirror:2")
    run("space", "create", "cli-space", "--block-bytes", "8192", expect=ExitCode.FAILED)
    assert "cli-space" in run("space", "list").stdout
    assert "mirror:2" in run("space", "describe", "cli-space").stdout
    long = "facts of a model " * 20
    run("space", "create", "cli-long", "--block-bytes", "4096", "--fingerprint", long)
    assert long not in run("space", "list").stdout
    assert long.strip() in run("space", "describe", "cli-long").stdout
    listed = {one["name"]: one for one in json.loads(run("space", "list", "--json").stdout)}
    assert listed["cli-long"]["fingerprint"] == long
    assert listed["cli-space"]["block_bytes"] == 4096
    run("space", "delete", "cli-long", "--yes")
    run("space", "delete", "cli-space", "--yes")
    run("space", "describe", "cli-space", expect=ExitCode.NOT_FOUND)


def test_a_space_of_shards_says_what_it_survives_less(run: Run) -> None:
    block = ("--block-bytes", "65536")
    made = run("space", "create", "cli-shards", *block, "--redundancy", "ec:2+1").stdout
    assert "survives" not in made
    refused = run(
        "space", "create", "cli-wide", *block, "--redundancy", "ec:2+2", expect=ExitCode.FAILED
    )
    assert "ec:2+2 needs 4 data nodes, 3 of this cluster can take blocks now" in refused.stderr
    run("space", "create", "cli-wide", *block, "--redundancy", "ec:4+2", "--force",
        expect=ExitCode.FAILED)  # fmt: skip
    made = run("space", "create", "cli-wide", *block, "--redundancy", "ec:2+2", "--force").stdout
    assert "placed 3 of 4 shards; survives 1 failure instead of 2" in made
    assert "ec:2+2" in run("space", "list").stdout
    lines = run("status").stdout.splitlines()
    assert "ec:2+1: 1 host failure" in lines
    assert "ec:2+2: 1 host failure instead of 2, 3 of 4 shards placed" in lines
    found = {
        one["redundancy"]: one for one in json.loads(run("status", "--json").stdout)["survivals"]
    }
    assert (found["ec:2+2"]["placed"], found["ec:2+2"]["hosts_now"]) == (3, 1)
    doctor = {one["subject"]: one for one in json.loads(run("doctor", "--json").stdout)}
    assert doctor["spaces of ec:2+1"]["level"] == "fine"
    assert doctor["spaces of ec:2+2"]["level"] == "note"
    for name in ("cli-shards", "cli-wide"):
        run("space", "delete", name, "--yes")


def test_a_file_goes_in_and_comes_out(run: Run, tmp_path: Path) -> None:
    content = os.urandom(300_000)
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(content)
    run("kv", "put", "cli-kv", "file", str(source), "--block-bytes", "4096")
    run("kv", "get", "cli-kv", "file", "-o", str(copy))
    assert copy.read_bytes() == content
    blocks = -(-300_000 // (4096 - HEAD_BYTES))
    assert run("kv", "match", "cli-kv", "file").stdout.strip() == str(blocks)
    assert len(run("kv", "stat", "cli-kv", "file").stdout.splitlines()) == blocks + 1
    run("kv", "delete", "cli-kv", "file")
    run("kv", "get", "cli-kv", "file", "-o", str(copy), expect=ExitCode.NOT_FOUND)
    run("kv", "stat", "cli-kv", "file", expect=ExitCode.NOT_FOUND)


def test_standard_input_and_output(run: Run) -> None:
    run("kv", "put", "cli-pipes", "text", "--block-bytes", "64", stdin="a few words\n" * 20)
    assert run("kv", "get", "cli-pipes", "text").stdout == "a few words\n" * 20
    run("kv", "put", "cli-pipes", "empty", stdin="")
    assert run("kv", "get", "cli-pipes", "empty").stdout == ""


def test_two_files_of_one_name_are_never_mixed(
    run: Run, local: holdfast.LocalCluster, tmp_path: Path
) -> None:
    old, new, copy = tmp_path / "old", tmp_path / "new", tmp_path / "copy"
    old.write_bytes(os.urandom(30_000))
    new.write_bytes(os.urandom(30_000))
    run("kv", "put", "cli-mix", "file", str(old), "--block-bytes", "4096")
    assert "0 stored" in run("kv", "put", "cli-mix", "file", str(old)).stderr
    done = run("kv", "put", "cli-mix", "file", str(new), expect=ExitCode.FAILED)
    assert "holds another file" in done.stderr and "kv delete" in done.stderr
    run("kv", "get", "cli-mix", "file", "-o", str(copy))
    assert copy.read_bytes() == old.read_bytes()

    # Blocks can go one by one: a later one alone must be noticed, too.
    with local.connect() as cluster:
        space = cluster.space("cli-mix")
        assert space.delete(StoredFile(space, "file").keys(0, 1)).deleted == 1
        done = run("kv", "put", "cli-mix", "file", str(new), expect=ExitCode.FAILED)
        assert "holds another file" in done.stderr
        done = run("kv", "get", "cli-mix", "file", "-o", str(copy), expect=ExitCode.FAILED)
        assert "different files" in done.stderr
    run("kv", "delete", "cli-mix", "file")
    run("kv", "put", "cli-mix", "file", str(new))
    run("kv", "get", "cli-mix", "file", "-o", str(copy))
    assert copy.read_bytes() == new.read_bytes()


def test_a_quick_measurement(run: Run) -> None:
    done = run("bench", "kv", "--block-kib", "64", "--mib", "8", "--seconds", "0.2")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["call", "put", "get", "exists"]
    assert all(row[5] == "100.0 %" for row in rows[1:])


def test_nodes_and_members_are_listed(run: Run) -> None:
    assert run("node", "list").stdout.count("127.0.0.1") == 3
    assert "leader" in run("member", "list").stdout
    run("node", "drain", "999", expect=ExitCode.NOT_FOUND)


def test_doctor_names_its_subjects(run: Run) -> None:
    found = json.loads(run("doctor", "--json").stdout)
    subjects = {one["subject"].split()[0] for one in found}
    assert {"memory", "locked", "open", "huge", "io_uring", "RDMA", "clock", "port"} <= subjects
    assert all(one["advice"] for one in found if one["level"] != "fine")


def test_what_is_wrong_is_said_in_one_line(run: Run, tmp_path: Path) -> None:
    done = run(
        "--address", "127.0.0.1:1", "--deadline", "0.3", "status", expect=ExitCode.UNAVAILABLE
    )
    assert done.stderr.startswith("error:")
    assert "127.0.0.1:1" in done.stderr
    done = run("--secret", "hunter2", "status", expect=ExitCode.USAGE)
    assert "hunter2" not in done.stderr
    done = run("--key", f"file:{tmp_path / 'no'}", "space", "list", expect=ExitCode.USAGE)
    assert "cannot be read" in done.stderr
    run("status", "--no-such-option", expect=ExitCode.USAGE)
    run("space", "describe", "no-such-space", expect=ExitCode.NOT_FOUND)


def test_mistakes_with_files_are_said_in_one_line(run: Run, tmp_path: Path) -> None:
    def refused(expect: ExitCode, *arguments: str) -> None:
        done = run(*arguments, expect=expect)
        assert done.stderr.startswith("error:") and len(done.stderr.splitlines()) == 1, done

    run("kv", "put", "cli-files", "there", "--block-bytes", "64", stdin="a few words")
    refused(ExitCode.NOT_FOUND, "kv", "put", "cli-files", "x", str(tmp_path / "no"))
    refused(ExitCode.USAGE, "kv", "put", "cli-files", "x", str(tmp_path))
    lost = str(tmp_path / "no" / "copy")
    refused(ExitCode.NOT_FOUND, "kv", "get", "cli-files", "there", "-o", lost)
    (tmp_path / "file").write_text("")
    refused(ExitCode.USAGE, "up", "--data", str(tmp_path / "file"))
    for daemon in ("datanode", "metanode"):
        refused(ExitCode.USAGE, daemon, "--config", "/dev/urandom")
    (tmp_path / "large").write_bytes(bytes((1 << 20) + 1))
    refused(ExitCode.USAGE, "datanode", "--config", str(tmp_path / "large"))
    refused(ExitCode.USAGE, "--context", "/dev/urandom", "status")


def test_a_file_that_is_not_served_leaves_the_old_copy_alone(run: Run, tmp_path: Path) -> None:
    run("kv", "put", "cli-whole", "there", "--block-bytes", "64", stdin="new words")
    copy = tmp_path / "copy"
    copy.write_text("old words")
    copy.chmod(0o640)
    run("kv", "get", "cli-whole", "absent", "-o", str(copy), expect=ExitCode.NOT_FOUND)
    assert copy.read_text() == "old words"
    run("kv", "get", "cli-whole", "there", "-o", str(copy))
    assert copy.read_text() == "new words"
    assert copy.stat().st_mode & 0o777 == 0o640
    run("kv", "get", "cli-whole", "there", "-o", "/dev/null")
    assert [found.name for found in tmp_path.iterdir() if found.suffix == ".part"] == []


@pytest.mark.parametrize("command", [("space", "list"), ("kv", "match", "s", "n"), ("bench", "kv")])
def test_the_deadline_holds_for_commands_of_tenants(run: Run, command: tuple[str, ...]) -> None:
    start = time.monotonic()
    done = run(
        *("--address", "127.0.0.1:1", "--deadline", "0.3"), *command, expect=ExitCode.UNAVAILABLE
    )
    assert "within 0.3 s" in done.stderr
    assert time.monotonic() - start < 3


def test_every_command_has_help_with_an_example(run: Run) -> None:
    for command in (
        ("up",), ("metanode",), ("datanode",), ("status",), ("doctor",), ("completion",),
        ("tenant", "create"),
        ("space", "create"), ("node", "drain"), ("member", "transfer"), ("kv", "put"),
        ("kv", "get"), ("bench", "kv"),
    ):  # fmt: skip
        assert "Example" in run(*command, "--help").stdout, command
    assert "Exit status" in run("--help").stdout


def test_a_context_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "context.toml"
    store_context(Context(address="127.0.0.1:7300"), path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(holdfast.ConfigInvalid, match="chmod 600"):
        Context.load(path)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_drained_node_is_empty_and_can_be_removed(tmp_path: Path) -> None:
    with holdfast.local(data_nodes=3, arena_mib=32) as own:
        run = runner(own, tmp_path / "context.toml")
        content = os.urandom(1 << 20)
        (tmp_path / "file").write_bytes(content)
        run("kv", "put", "drained", "file", str(tmp_path / "file"), "--block-bytes", "8192")
        node = json.loads(run("status", "--json").stdout)["nodes"][0]["id"]
        run("node", "remove", str(node), expect=ExitCode.FAILED)
        run("node", "drain", str(node))
        found = json.loads(run("status", "--json").stdout)
        assert found["healthy"] is True
        drained = next(one for one in found["nodes"] if one["id"] == node)
        assert (drained["groups"], drained["load"]["blocks"]) == (0, 0)
        run("node", "remove", str(node))
        run("kv", "get", "drained", "file", "-o", str(tmp_path / "copy"))
        assert (tmp_path / "copy").read_bytes() == content


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_dead_node_is_told_from_one_that_is_drained(tmp_path: Path) -> None:
    with holdfast.local(data_nodes=3, arena_mib=32) as own:
        run = runner(own, tmp_path / "context.toml")
        (tmp_path / "file").write_bytes(os.urandom(1 << 20))
        run("kv", "put", "dead", "file", str(tmp_path / "file"), "--block-bytes", "8192")

        def nodes() -> list[dict[str, Any]]:
            return list(as_values(own.admin.status())["nodes"])

        def down() -> list[int]:
            return [one["id"] for one in nodes() if one["state"] == "down"]

        wait_for("heartbeats", lambda: all(one["load"]["blocks"] for one in nodes()), 60)
        own.data_nodes[0].kill()
        wait_for("the node to be marked down", lambda: bool(down()), 60)
        node = str(down()[0])
        refused = run("node", "remove", node, expect=ExitCode.FAILED).stderr
        assert "are gone already, remove it with --force" in refused
        drained = run("node", "drain", node, "--deadline", "1", expect=ExitCode.UNAVAILABLE)
        for said in (drained.stdout, drained.stderr):
            assert f"node {node} itself does not answer" in said
        assert json.loads(run("status", "--json", expect=ExitCode.UNHEALTHY).stdout)["nodes"]
        run("node", "remove", node, "--force")
        run("status")


@pytest.mark.parametrize(
    ("shell", "hook"), [("bash", "complete -o"), ("zsh", "#compdef"), ("fish", "complete --")]
)
def test_completion_for_shells(run: Run, shell: str, hook: str) -> None:
    script = run("completion", shell).stdout
    assert hook in script and "_HOLDFAST_COMPLETE" in script


def test_bash_completes_commands() -> None:
    words = {"COMP_WORDS": "holdfast ten", "COMP_CWORD": "1"}
    environment = {**os.environ, **words, "_HOLDFAST_COMPLETE": "complete_bash"}
    command = Path(sys.executable).with_name("holdfast")
    completed = subprocess.run([command], env=environment, capture_output=True, text=True)
    assert completed.stdout.split() == ["tenant"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_up_survives_a_restart_with_its_metadata(tmp_path: Path) -> None:
    context = tmp_path / "context.toml"
    environment = {**os.environ, "HOLDFAST_CONTEXT": str(context)}
    up = [
        *(sys.executable, "-m", "holdfast", "up", "--arena-mib", "32", "-n", "2"),
        *("--data", str(tmp_path / "data"), "--context", str(context)),
    ]

    @contextmanager
    def started() -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(up, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("context file"):
                    break
            else:
                raise AssertionError("".join(lines))
            try:
                yield process
            finally:
                process.kill()

    def holdfast_command(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "holdfast", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    def is_healthy() -> bool:
        done = subprocess.run(
            [sys.executable, "-m", "holdfast", "status"], env=environment, capture_output=True
        )
        return done.returncode == 0

    with started() as process:
        holdfast_command("space", "create", "kept", "--block-bytes", "4096")
        before = json.loads(holdfast_command("status", "--json"))
        # A daemon that dies is started again.
        children = subprocess.check_output(["pgrep", "-P", str(process.pid)]).split()
        os.kill(int(children[-1]), signal.SIGKILL)
        wait_for("the restart of a killed daemon", is_healthy, 60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0

    with started() as process:
        assert "kept" in holdfast_command("space", "list")
        after = json.loads(holdfast_command("status", "--json"))
        assert after["cluster_id"] == before["cluster_id"]
        assert len(after["nodes"]) == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_context_file_that_was_named_must_exist(run: Run, tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    for command in (("status",), ("space", "list"), ("doctor",)):
        said = run("--context", missing, *command, expect=ExitCode.USAGE).stderr
        assert f"context file {missing} does not exist" in said.replace("\n", "")
    assert "Usage" in run("--context", missing, "status", "--help").stdout


def test_what_is_missing_is_named_with_what_to_do(run: Run) -> None:
    absent = run("kv", "put", "cli-none", "words", stdin="words", expect=ExitCode.NOT_FOUND)
    assert "--block-bytes" in absent.stderr
    run("kv", "put", "cli-some", "words", "--block-bytes", "64", stdin="words")
    nothing = run("kv", "get", "cli-some", "nope", expect=ExitCode.NOT_FOUND)
    assert "nothing is stored under 'nope'" in nothing.stderr
    alone = run("member", "remove", "1", expect=ExitCode.FAILED).stderr
    assert "only metadata member" in alone


@pytest.mark.slow
def test_a_benchmark_whose_set_does_not_fit_says_so(run: Run) -> None:
    some = ("bench", "kv", "--seconds", "0.1", "--block-kib", "1024")
    assert "does not fit" in run(*some, "--mib", "768").stderr
    assert "does not fit" not in run(*some, "--mib", "32").stderr
