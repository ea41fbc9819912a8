"""`holdfast node ...`: the cluster's data nodes."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from holdfast._admin import AdminClient
from holdfast.cli.output import out, say, table
from holdfast.cli.reach import reach_of
from holdfast.cli.status import NODE_COLUMNS, node_rows
from holdfast.errors import DeadlineExceeded, HoldfastError, NotFound
from holdfast_proto import meta_pb2 as pb

app = typer.Typer(help="Data nodes (operators).", no_args_is_help=True)
Node = Annotated[int, typer.Argument(help="The node's id, as `node list` shows it.", min=1)]
LOOK_EVERY_S = 0.5


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

    Interrupting the wait does not stop the drain. Then [bold]holdfast node remove[/].

    Example: [bold]holdfast node drain 3[/]
    """
    with reach_of(context).admin() as admin:
        admin.drain_node(node)
        if wait:
            _wait_until_empty(admin, node, deadline)
            say(f"node {node} holds nothing: it can be stopped and removed")
        else:
            say(f"node {node} is draining: see `holdfast node list`")


@app.command("remove")
def remove(
    context: typer.Context,
    node: Node,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that still holds blocks: they are lost.")
    ] = False,
) -> None:
    """Take a drained or dead data node off the map.

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


def _wait_until_empty(admin: AdminClient, node: int, deadline_s: float) -> None:
    end = time.monotonic() + deadline_s
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        task = progress.add_task(f"draining node {node}", total=None, unit="groups")
        most = 0
        while True:
            left = _left(admin, node)
            if left == 0:
                return
            if left is not None:
                most = max(most, left)
                progress.update(task, total=most, completed=most - left)
            if time.monotonic() > end:
                raise DeadlineExceeded(
                    f"node {node} still holds {left} groups after {deadline_s:g} s: it goes on, "
                    "see `holdfast node list`"
                )
            time.sleep(LOOK_EVERY_S)


def _left(admin: AdminClient, node: int) -> int | None:
    """Groups that the node still holds or serves, at least 1 while it has blocks; None while
    nobody answers, or nobody who has heard of the node."""
    try:
        nodes = admin.list_nodes().nodes
    except HoldfastError as error:
        if error.retryable:
            return None
        raise
    for found in nodes:
        if found.id == node:
            held = _groups_held(found)
            # Without its load nobody can say that it holds no blocks.
            return held if held or _is_known(found) else None
    raise NotFound(f"node {node} was removed meanwhile")


def _groups_held(node: pb.NodeInfo) -> int:
    return max(node.groups + node.groups_to_move, 1 if node.load.blocks else 0)


def _is_known(node: pb.NodeInfo) -> bool:
    """Whether its blocks are known; those of a node that is not there are gone."""
    return node.HasField("load") or node.state in (pb.NODE_STATE_DOWN, pb.NODE_STATE_OUT)
