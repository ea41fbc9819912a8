"""`holdfast node ...`: the cluster's data nodes."""

from __future__ import annotations

from typing import Annotated

import typer

from holdfast.cli.drain import wait_until_empty
from holdfast.cli.output import say, table
from holdfast.cli.reach import reach_of
from holdfast.cli.status import NODE_COLUMNS, node_rows

app = typer.Typer(help="Data nodes (operators).", no_args_is_help=True)
Node = Annotated[int, typer.Argument(help="The node's id, as `node list` shows it.", min=1)]


@app.command("list")
def list_nodes(context: typer.Context) -> None:
    """List data nodes with their state and load."""
    with reach_of(context).admin() as admin:
        found = admin.list_nodes()
    table(NODE_COLUMNS, node_rows(found.nodes))


@app.command("drain")
def drain(
    context: typer.Context,
    node: Node,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until it holds nothing.")
    ] = True,
    deadline: Annotated[float, typer.Option(help="Longest wait, seconds.", min=1)] = 3600.0,
) -> None:
    """Move everything off a data node; it serves on until it is empty.

    Interrupting the wait does not stop the drain, [bold]holdfast node undrain[/] does. Once it is
    done: [bold]holdfast node remove[/].

    Example: [bold]holdfast node drain 3[/]
    """
    with reach_of(context).admin() as admin:
        admin.drain_node(node)
        if wait:
            wait_until_empty(admin, node, deadline)
            say(f"node {node} holds nothing: it can be stopped and removed")
        else:
            say(f"node {node} is draining: see `holdfast node list`")


@app.command("undrain")
def undrain(context: typer.Context, node: Node) -> None:
    """End a drain: the data node gets groups again.

    Example: [bold]holdfast node undrain 3[/]
    """
    with reach_of(context).admin() as admin:
        admin.undrain_node(node)
    say(f"node {node} gets groups again")


@app.command("remove")
def remove(
    context: typer.Context,
    node: Node,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that still holds blocks: they are lost.")
    ] = False,
) -> None:
    """Take a data node off the map: one that is drained or out, or with `--force` a dead one.

    A node that is down is refused without `--force`, as it may come back with its blocks.

    Example: [bold]holdfast node remove 3[/]
    """
    with reach_of(context).admin() as admin:
        admin.remove_node(node, force)
    say(f"node {node} is removed")


@app.command("weight")
def weight(
    context: typer.Context,
    node: Node,
    value: Annotated[float, typer.Argument(help="Share of the groups, relative to others.")],
) -> None:
    """Change a data node's share of the blocks.

    Example: [bold]holdfast node weight 3 2048[/]
    """
    with reach_of(context).admin() as admin:
        admin.set_node_weight(node, value)
    say(f"node {node} has weight {value:g}")
