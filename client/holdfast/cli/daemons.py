"""`holdfast metanode` and `holdfast datanode`: one daemon in the foreground."""

from __future__ import annotations

import runpy
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.exit_codes import ExitCode
from holdfast_kvstore.config_size import check_config_size

Config = Annotated[
    Path,
    typer.Option("--config", help="TOML file; docs/operations*.md name every field.", exists=True),
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
    check_config_size(config)
    sys.argv = [module, "--config", str(config)]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except OSError:
        # Not a mistake of the command line: systemd starts a daemon with this status again.
        traceback.print_exc()
        sys.exit(ExitCode.FAILED)
