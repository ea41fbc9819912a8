"""`holdfast doctor`: is this machine fit for a data node or a client, and what to do if not."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli import checks
from holdfast.cli.checks import Finding, Level
from holdfast.cli.checks.finding import note
from holdfast.cli.exit_codes import ExitCode
from holdfast.cli.output import print_json, say, table
from holdfast.cli.reach import Reach, reach_of
from holdfast.errors import HoldfastError

_COLORS = {Level.FINE: "green", Level.NOTE: "yellow", Level.PROBLEM: "red"}


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Look at memory limits, huge pages, io_uring, RDMA devices, clock, ports, and redundancy.

    Exit status 6 if something will not work; notes are advice.

    Example: [bold]holdfast doctor[/]
    """
    reach = reach_of(context)
    reach.check_context()
    found = [*_examine(reach.address), *_ask(reach)]
    if as_json:
        print_json(
            [
                {
                    "subject": one.subject,
                    "level": one.level.value,
                    "found": one.found,
                    "advice": one.advice,
                }
                for one in found
            ]
        )
    else:
        _show(found)
    if any(one.level is Level.PROBLEM for one in found):
        raise typer.Exit(ExitCode.UNHEALTHY)


def _examine(address: str) -> list[Finding]:
    return [
        *checks.check_memory(),
        *checks.check_limits(),
        *checks.check_huge_pages(),
        *checks.check_io_uring(),
        *checks.check_rdma(),
        *checks.check_clock(),
        *checks.check_ports(),
        *checks.check_reach(address),
    ]


def _ask(reach: Reach) -> list[Finding]:
    """What only operators may ask the cluster; nothing where that is not possible from here."""
    if not (reach.address and reach.secret):
        return []
    try:
        with reach.admin() as admin:
            return checks.check_redundancy(admin)
    except HoldfastError as error:
        return [note("spaces", f"not known: {error.message}", "see the cluster's findings above")]


def _show(found: list[Finding]) -> None:
    rows = [
        (one.subject, f"[{_COLORS[one.level]}]{one.level.value}[/]", one.found, one.advice)
        for one in found
    ]
    table(("subject", "", "found", "what to do"), rows)
    problems = sum(one.level is Level.PROBLEM for one in found)
    say(f"{problems} problems" if problems else "nothing stands in the way")
