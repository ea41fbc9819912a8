"""Waiting until a data node holds nothing, and saying how far that is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from holdfast._admin import AdminClient
from holdfast.cli.node_health import answers
from holdfast.cli.output import out, say
from holdfast.errors import DeadlineExceeded, FailedPrecondition, HoldfastError, NotFound
from holdfast_proto import meta_pb2 as pb

LOOK_EVERY_S = 0.5
SAY_EVERY_S = 5.0


def wait_until_empty(admin: AdminClient, node: int, deadline_s: float) -> None:
    """Returns once the node holds nothing.

    Raises NotFound if it was removed meanwhile, FailedPrecondition if it is no longer drained,
    DeadlineExceeded that says what it waits for.
    """
    end = time.monotonic() + deadline_s
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    lines = DrainLines(node)
    with Progress(*columns, console=out, disable=not out.is_terminal) as progress:
        task = progress.add_task(f"draining node {node}", total=None, unit="groups")
        most, left, waits = 0, None, ""
        while True:
            nodes = listed(admin)
            if nodes is not None:
                left, waits = left_on(nodes, node), waits_for(nodes, node)
            if left == 0:
                return
            if left is not None:
                most = max(most, left)
                progress.update(task, total=most, completed=most - left, unit=f"groups{waits}")
                line = lines.next(left, waits, time.monotonic())
                if line and not out.is_terminal:
                    say(line)
            if time.monotonic() > end:
                raise DeadlineExceeded(
                    f"node {node} still holds {left} groups after {deadline_s:g} s{waits}: it "
                    "goes on, see `holdfast node list`"
                )
            time.sleep(LOOK_EVERY_S)


class DrainLines:
    """Lines for those who see no progress bar: what changed, at most every `SAY_EVERY_S`."""

    def __init__(self, node: int) -> None:
        self._node = node
        self._said: tuple[int, str] | None = None
        self._said_at_s = 0.0

    def next(self, left: int, waits: str, now_s: float) -> str | None:
        """What to say now, if anything."""
        if (left, waits) == self._said:
            return None
        if self._said is not None and now_s - self._said_at_s < SAY_EVERY_S:
            return None
        self._said, self._said_at_s = (left, waits), now_s
        return f"draining node {self._node}: {left} groups left{waits}"


def listed(admin: AdminClient) -> Sequence[pb.NodeInfo] | None:
    """Every data node, or None while nobody answers."""
    try:
        return admin.list_nodes().nodes
    except HoldfastError as error:
        if error.retryable:
            return None
        raise


def left_on(nodes: Sequence[pb.NodeInfo], node: int) -> int | None:
    """Groups that the node still holds or serves, at least 1 while it has blocks; None while
    nobody who answers has heard of the node."""
    for found in nodes:
        if found.id == node:
            if found.state in (pb.NODE_STATE_UP, pb.NODE_STATE_DOWN):
                raise FailedPrecondition(f"the drain of node {node} was ended meanwhile")
            held = max(found.groups + found.groups_to_move, 1 if found.load.blocks else 0)
            # Without its load nobody can say that it holds no blocks; one that is out has none.
            is_known = found.HasField("load") or found.state == pb.NODE_STATE_OUT
            return held if held or is_known else None
    raise NotFound(f"node {node} was removed meanwhile")


def waits_for(nodes: Sequence[pb.NodeInfo], node: int) -> str:
    """What keeps moves from going on, as the end of a sentence; empty for nothing."""
    silent = ""
    # While nobody leads, nobody has heard of any node: that says nothing of this one.
    is_known = any(found.HasField("load") for found in nodes)
    if is_known and any(found.id == node and not answers(found) for found in nodes):
        silent = (
            f", node {node} itself does not answer (start it again, or `holdfast node remove "
            f"{node} --force` and lose what only it holds)"
        )
    down = [
        str(found.id)
        for found in nodes
        if found.state == pb.NODE_STATE_DOWN and found.groups_to_move and found.id != node
    ]
    if not down:
        return silent
    return f"{silent}, waiting for node{'s' if down[1:] else ''} {', '.join(down)}, down"
