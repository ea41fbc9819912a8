"""What commands print: tables for people, tab-separated lines for pipes, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType

from holdfast.cli.fitting_table import FittingTable

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """A table on a terminal; otherwise one line a row, cells separated by tabs."""
    if out.is_terminal:
        out.print(rich_table(columns, rows, title))
        return
    for row in (columns, *rows):
        print("\t".join(plain(cell) for cell in row))


def rich_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = ""
) -> RenderableType:
    """The table for a terminal, however narrow; cells may carry markup."""
    return FittingTable(columns, list(rows), title)


def plain(cell: object) -> str:
    """A cell without markup."""
    from rich.text import Text

    return Text.from_markup(str(cell)).plain


def say(text: str) -> None:
    """A line for people; markup is shown on a terminal only."""
    out.print(text)


def print_json(value: object) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=2, sort_keys=True))


def human_bytes(nbytes: float) -> str:
    """`nbytes` with a unit, three digits or so."""
    for unit in _UNITS:
        if nbytes < 1024 or unit == _UNITS[-1]:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    raise AssertionError("the last unit takes every size")


def percent(part: float, whole: float) -> str:
    """`part` of `whole`, or a dash where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else "-"
