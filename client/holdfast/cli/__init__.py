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
    except OSError as error:
        err.print(f"[bold red]error:[/] {_escaped(_file_error(error))}")
        missing = isinstance(error, FileNotFoundError)
        sys.exit(ExitCode.NOT_FOUND if missing else ExitCode.USAGE)


def _file_error(error: OSError) -> str:
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename is not None else what


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
