"""The options that every command shares; they stand before its name."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

_FROM_FILE = "context file"


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"holdfast {version('holdfast')}")
    except PackageNotFoundError:
        typer.echo("holdfast (not installed as a package)")
    raise typer.Exit


def _option(name: str, help_text: str) -> object:
    return typer.Option(
        f"--{name}",
        envvar=f"HOLDFAST_{name.upper()}",
        help=help_text,
        show_default=_FROM_FILE,
    )


Address = Annotated[
    str | None, _option("address", "Metadata members, host:port, joined by commas.")
]
Tenant = Annotated[str | None, _option("tenant", "Tenant to act as.")]
Key = Annotated[str | None, _option("key", "The tenant's API key, as file:PATH or env:NAME.")]
ClusterSecret = Annotated[
    str | None, _option("secret", "The cluster's secret (operators), as file:PATH or env:NAME.")
]
Authority = Annotated[
    str | None,
    _option("authority", "PEM file of the authority behind the members' certificates."),
]
ContextPath = Annotated[
    Path | None,
    typer.Option(
        "--context",
        envvar="HOLDFAST_CONTEXT",
        help="File with the defaults of the options above; without it context.toml in "
        "~/.config/holdfast.",
        show_default=False,
    ),
]
Deadline = Annotated[
    float,
    typer.Option("--deadline", help="Longest wait for the metadata cluster, seconds.", min=0.1),
]
ShowVersion = Annotated[
    bool,
    typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
]
