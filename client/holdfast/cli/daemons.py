"""`holdfast metanode` and `holdfast datanode`: one daemon in the foreground."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path,
    typer.Option("--config", help="TOML file; docs/operations.md names every field.", exists=True),
]


def metanode(config: Config) -> None:
    """Run one metadata member until SIGTERM.

    Example: [bold]holdfast metanode --config /etc/holdfast/metanode.toml[/]
    """
    _become("holdfast_metanode", config)


def datanode(config: Config) -> None:
    """Run one data node until SIGTERM.

    Example: [bold]holdfast datanode --config /etc/holdfast/datanode.toml[/]
    """
    _become("holdfast_datanode", config)


def _become(module: str, config: Path) -> None:
    sys.argv = [module, "--config", str(config)]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
