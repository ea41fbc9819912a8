"""`holdfast completion`: what a shell reads to complete commands."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import shell_complete


class Shell(StrEnum):
    """Shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    context: typer.Context, shell: Annotated[Shell, typer.Argument(help="Whose script.")]
) -> None:
    """Print the script that completes commands in a shell, for a package or a start file.

    `holdfast --install-completion` puts it where the shell that you are in looks for it.

    Example: [bold]holdfast completion bash > /etc/bash_completion.d/holdfast[/]
    """
    root = context.find_root()
    shell_complete(root.command, {}, "holdfast", "_HOLDFAST_COMPLETE", f"source_{shell.value}")
