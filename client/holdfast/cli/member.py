"""`holdfast member ...`: the metadata members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from holdfast.cli.output import say, table
from holdfast.cli.reach import reach_of
from holdfast.cli.status import MEMBER_COLUMNS, member_rows
from holdfast_proto import meta_pb2 as pb

app = typer.Typer(help="Metadata members (operators).", no_args_is_help=True)
Member = Annotated[int, typer.Argument(help="The member's id.", min=1)]


@app.command("list")
def list_members(context: typer.Context) -> None:
    """List members."""
    with reach_of(context).admin() as admin:
        _show(admin.status().members)


@app.command("add")
def add(
    context: typer.Context,
    member: Member,
    address: Annotated[str, typer.Argument(help="host:port where it listens.")],
) -> None:
    """Let a member in by hand, before it starts; it catches up first, then votes.

    Seldom needed: one that is started with `cluster.join` is let in by itself. For a member that
    is in already this renews its address.

    Example: [bold]holdfast member add 4 10.0.0.4:7300[/]
    """
    with reach_of(context).admin() as admin:
        _show(admin.add_member(member, address))


@app.command("remove")
def remove(context: typer.Context, member: Member) -> None:
    """Remove a member; its id is never used again.

    Example: [bold]holdfast member remove 2[/]
    """
    with reach_of(context).admin() as admin:
        _show(admin.remove_member(member))


@app.command("transfer")
def transfer(context: typer.Context, member: Member) -> None:
    """Hand leadership to a member, before maintenance of the leader's machine, say.

    Example: [bold]holdfast member transfer 2[/]
    """
    with reach_of(context).admin() as admin:
        _show(admin.transfer_leader(member))


@app.command("raise-level")
def raise_level(context: typer.Context) -> None:
    """Activate what the newest build brings, once every member runs it. There is no way back.

    Example: [bold]holdfast member raise-level[/]
    """
    with reach_of(context).admin() as admin:
        found = admin.raise_level(admin.status().level_max)
    say(f"the cluster is at level {found.level}")


def _show(members: Sequence[pb.MemberStatus]) -> None:
    table(MEMBER_COLUMNS, member_rows(members))
