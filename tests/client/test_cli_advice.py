"""What commands advise whoever has typed something else than was meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from holdfast._context import Context
from holdfast.cli.app import app
from holdfast.cli.context_file import store_context
from holdfast.cli.exit_codes import ExitCode, exit_code_of
from holdfast.cli.space import short_fingerprint
from holdfast.cli.status import is_healthy
from holdfast.errors import ConfigInvalid, HoldfastError, InvalidArgument, Unavailable
from holdfast.local_cluster.layout import free_ports
from holdfast_proto import meta_pb2 as pb


@pytest.fixture
def secret(tmp_path: Path) -> str:
    """The reference to a secret, also of use as a tenant's key."""
    (tmp_path / "secret").write_text("s" * 32)
    return f"file:{tmp_path / 'secret'}"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No cluster of this machine's user is known, and no line is broken."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("ADDRESS", "TENANT", "KEY", "SECRET", "AUTHORITY", "CONTEXT"):
        monkeypatch.delenv(f"HOLDFAST_{name}", raising=False)


def error_of(*arguments: str) -> HoldfastError:
    """The error that a command ends with."""
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, HoldfastError), error
    return error


def usage_error_of(*arguments: str) -> str:
    """What a command says of its usage."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == ExitCode.USAGE
    return done.output


def help_of(*arguments: str) -> str:
    """A command's help, as one line."""
    return " ".join(CliRunner().invoke(app, [*arguments, "--help"]).output.split())


def test_revoking_makes_no_key_for_a_file(tmp_path: Path) -> None:
    file = str(tmp_path / "team.key")
    error = error_of("tenant", "rotate-key", "team", "--revoke-old", "--key-file", file)
    assert isinstance(error, InvalidArgument)
    assert exit_code_of(error) is ExitCode.USAGE
    assert f"first run `holdfast tenant rotate-key team --key-file {file}`" in error.message
    assert "then `holdfast tenant rotate-key team --revoke-old`" in error.message


def test_help_says_that_a_dead_node_is_removed_with_force() -> None:
    assert "with --force a dead one" in help_of("node", "remove").replace("`", "")


def test_a_planned_drain_is_healthy_while_the_node_answers() -> None:
    node = pb.NodeInfo(id=1, state=pb.NODE_STATE_DRAINING, heartbeat_age_ms=400)
    node.load.blocks = 1
    found = pb.StatusReply(leader_id=1, nodes=[node])
    assert is_healthy(found)
    found.nodes[0].heartbeat_age_ms = 60_000
    assert not is_healthy(found)
    found.nodes[0].ClearField("load")
    found.nodes[0].heartbeat_age_ms = 0
    assert not is_healthy(found)
    for state in (pb.NODE_STATE_DOWN, pb.NODE_STATE_OUT):
        assert not is_healthy(pb.StatusReply(leader_id=1, nodes=[pb.NodeInfo(state=state)]))
    assert "being drained and answers is as it should be" in help_of("status")


def test_a_file_that_is_missing_is_called_what_it_is(tmp_path: Path) -> None:
    nothing = f"file:{tmp_path / 'nothing'}"
    reach = ("--address", "127.0.0.1:1", "--tenant", "team", "--key", nothing, "--secret", nothing)
    for command, what in ((("space", "list"), "tenant's key"), (("status",), "cluster's secret")):
        error = error_of(*reach, *command)
        assert isinstance(error, ConfigInvalid)
        assert f"nothing of the {what} cannot be read" in error.message


@pytest.mark.parametrize("command", [("status",), ("space", "list")])
def test_a_context_of_a_cluster_that_is_gone_is_named(
    command: tuple[str, ...], secret: str, tmp_path: Path
) -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    path = tmp_path / "context.toml"
    store_context(Context(address=address, tenant="team", key=secret, secret=secret), path)
    shared = ("--context", str(path), "--deadline", "0.3")
    error = error_of(*shared, *command)
    assert isinstance(error, Unavailable)
    assert f"the address comes from context file {path}" in error.message
    assert "is `holdfast up` still running?" in error.message
    # Whoever typed the address knows where it comes from.
    assert "context file" not in error_of(*shared, "--address", address, *command).message


@pytest.mark.parametrize("command", [("status",), ("space", "list")])
def test_an_address_like_that_of_a_web_page_is_refused(
    command: tuple[str, ...], secret: str
) -> None:
    reach = ("--address", "http://127.0.0.1:7300", "--tenant", "team")
    error = error_of(*reach, "--key", secret, "--secret", secret, *command)
    assert isinstance(error, InvalidArgument)
    assert "leave out http://" in error.message


def test_an_option_of_all_commands_goes_before_the_command() -> None:
    for command in (("status",), ("tenant", "create", "team")):
        said = usage_error_of(*command, "--key", "file:x")
        assert "--key: it goes before the command, `holdfast --key ...`" in said
    assert "before the command" not in usage_error_of("status", "--nonsense")


def test_fingerprints_are_short_in_a_column() -> None:
    digest = "0123456789ab" + "c" * 52
    assert short_fingerprint(f'sha256:{digest} {{"model": "llama"}}') == "sha256:0123456789ab"
    assert short_fingerprint("llama-3-8b, fp16") == "llama-3-8b, fp16"
    assert short_fingerprint("x" * 600) == "x" * 24 + "..."
    assert short_fingerprint("") == ""
