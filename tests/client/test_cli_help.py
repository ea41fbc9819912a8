"""What commands say of themselves, on a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import holdfast
from holdfast.cli.app import app
from holdfast.cli.checks import local_layout
from holdfast.cli.checks.local_layout import changes_of, check_arenas


def names(of: typer.Typer, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and group."""
    yield before
    for command in of.registered_commands:
        yield (*before, str(command.name))
    for group in of.registered_groups:
        assert group.typer_instance is not None
        yield from names(group.typer_instance, (*before, str(group.name)))


@pytest.mark.parametrize("command", list(names(app)), ids=" ".join)
def test_help_cuts_nothing(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*command, "--help"])
    assert shown.exit_code == 0
    assert "\u2026" not in shown.output


def test_paragraphs_break_where_the_terminal_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["up", "--help"]).output
    paragraph = shown.split("Ctrl-C.")[1].split("Examples:")[0].strip().splitlines()
    assert all(len(line.strip()) > 60 for line in paragraph[:-1])


def test_arenas_larger_than_memory_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_layout, "room_for_memory", lambda: 1000 << 20)
    check_arenas(holdfast.LocalLayout(data_nodes=2, arena_mib=496))
    with pytest.raises(holdfast.InvalidArgument, match=r"1000 MiB are.*--arena-mib 496 or less"):
        check_arenas(holdfast.LocalLayout(data_nodes=2, arena_mib=512))


def test_a_folder_that_was_made_with_other_settings_is_told(tmp_path: Path) -> None:
    layout = holdfast.LocalLayout(data_nodes=3, arena_mib=64)
    assert list(changes_of(layout, tmp_path)) == []
    (tmp_path / "cluster.json").write_text('{"layout": {"data_nodes": 2, "arena_mib": 64}}')
    assert list(changes_of(layout, tmp_path)) == [
        f"{tmp_path} was made with --data-nodes 2: from now on it is 3"
    ]
    (tmp_path / "cluster.json").write_text("[]")
    assert list(changes_of(layout, tmp_path)) == []
