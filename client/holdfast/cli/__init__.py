"""The `holdfast` command line."""

from __future__ import annotations

import sys

from holdfast.cli.exit_codes import ExitCode, exit_code_of


def main() -> None:
    """Runs the command that `sys.argv` names and exits with its status."""
    from holdfast.cli.app import app
    from holdfast.cli.output import err
    from holdfast.errors import HoldfastError

    try:
        app(prog_name="holdfast")
    except HoldfastError as error:
        err.print(f"[bold red]error:[/] {_escaped(error.message)}")
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing more can be written.
        sys.stderr.close()
        sys.exit(ExitCode.OK)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
