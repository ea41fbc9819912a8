"""What the exit status of every `holdfast` command means."""

from __future__ import annotations

from enum import IntEnum

from holdfast import errors


class ExitCode(IntEnum):
    """Stable: scripts may rely on them."""

    OK = 0
    FAILED = 1
    """The cluster answered with an error that has no code of its own here."""
    USAGE = 2
    """The command line or a configuration is wrong."""
    NOT_FOUND = 3
    """The named tenant, space, node, key or file does not exist."""
    REFUSED = 4
    """Key, secret or right is missing."""
    UNAVAILABLE = 5
    """Nobody answered in time."""
    UNHEALTHY = 6
    """`doctor` or `status` found something that needs a hand."""
    INTERRUPTED = 130
    """Ctrl-C."""


_BY_ERROR: tuple[tuple[type[errors.HoldfastError], ExitCode], ...] = (
    (errors.InvalidArgument, ExitCode.USAGE),
    (errors.NotFound, ExitCode.NOT_FOUND),
    (errors.Unauthenticated, ExitCode.REFUSED),
    (errors.PermissionDenied, ExitCode.REFUSED),
    (errors.Unavailable, ExitCode.UNAVAILABLE),
    (errors.DeadlineExceeded, ExitCode.UNAVAILABLE),
)

HELP = (
    "Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found, "
    "4 key or secret refused, 5 nobody answered in time, 6 unhealthy, 130 interrupted."
)


def exit_code_of(error: errors.HoldfastError) -> ExitCode:
    """The exit status for an error that ends a command."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    return ExitCode.FAILED
