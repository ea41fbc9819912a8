"""`holdfast status`: members, leader, data nodes, capacity, hit rate, failures to be taken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from holdfast._admin import AdminClient
from holdfast.cli.exit_codes import ExitCode
from holdfast.cli.node_health import answers
from holdfast.cli.output import human_bytes, out, percent, print_json, rich_table, say, table
from holdfast.cli.reach import reach_of
from holdfast.cli.survivals import survival_lines, survival_values
from holdfast.errors import HoldfastError
from holdfast_proto import meta_pb2 as pb

STATES = {
    pb.NODE_STATE_UP: "up",
    pb.NODE_STATE_DOWN: "down",
    pb.NODE_STATE_OUT: "out",
    pb.NODE_STATE_DRAINING: "draining",
}
_COLORS = {"up": "green", "down": "red", "out": "red", "draining": "yellow"}
MEMBER_COLUMNS = ("member", "address", "role", "log index", "reachable")
NODE_COLUMNS = (
    "node", "state", "address", "host", "groups", "to move", "used", "of", "blocks", "hit rate",
    "heartbeat",
)  # fmt: skip


LOOKS = 3
LOOK_EVERY_S = 0.4


def status(
    context: typer.Context,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again every second until Ctrl-C.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Show members, leader, data nodes, capacity, hit rate, and what failures can be taken now.

    Exit status 6 if there is no leader, a member is unreachable or a data node is down, out or
    silent. One that is being drained and answers is as it should be.

    Examples: [bold]holdfast status --watch[/], [bold]holdfast status --json | jq .nodes[/]
    """
    with reach_of(context).admin() as admin:
        if watch and not as_json:
            _watch(admin)
            return
        found = _looked_at_twice(admin)
    if as_json:
        print_json(as_values(found))
    else:
        _show(found)
    if not is_healthy(found):
        raise typer.Exit(ExitCode.UNHEALTHY)


def _looked_at_twice(admin: AdminClient) -> pb.StatusReply:
    """The leader forgets now and then, for a moment, who answered it: one bad look is none."""
    for _ in range(LOOKS - 1):
        found = admin.status()
        if is_healthy(found):
            return found
        time.sleep(LOOK_EVERY_S)
    return admin.status()


def is_healthy(found: pb.StatusReply) -> bool:
    """Whether there is a leader, every member is reachable and every data node answers."""
    return (
        found.leader_id != 0
        and all(member.reachable for member in found.members)
        and all(answers(node) for node in found.nodes)
    )


def member_rows(members: Sequence[pb.MemberStatus]) -> list[tuple[object, ...]]:
    """Cells of `MEMBER_COLUMNS`."""
    return [
        (
            member.id,
            member.address,
            "leader" if member.leader else "learner" if member.learner else "follower",
            member.match_index,
            "yes" if member.reachable else "[red]no[/]",
        )
        for member in members
    ]


def node_rows(nodes: Sequence[pb.NodeInfo]) -> list[tuple[object, ...]]:
    """Cells of `NODE_COLUMNS`."""
    rows: list[tuple[object, ...]] = []
    for node in nodes:
        state = STATES.get(node.state, "unknown")
        rows.append(
            (
                node.id,
                f"[{_COLORS.get(state, 'red')}]{state}[/]",
                node.tcp_address,
                node.host,
                node.groups,
                node.groups_to_move,
                *_heard_cells(node),
            )
        )
    return rows


def _heard_cells(node: pb.NodeInfo) -> tuple[object, ...]:
    """From used memory on; dashes while the answering member has heard nothing of the node."""
    if not node.HasField("load"):
        return ("-",) * 5
    load = node.load
    return (
        human_bytes(load.used_bytes),
        human_bytes(load.capacity_bytes),
        load.blocks,
        percent(load.hits, load.hits + load.misses),
        f"{node.heartbeat_age_ms / 1000:.1f} s ago",
    )


def summary(found: pb.StatusReply) -> str:
    """One line about the whole."""
    loads = [node.load for node in found.nodes]
    hits, misses = sum(load.hits for load in loads), sum(load.misses for load in loads)
    used, whole = (
        sum(load.used_bytes for load in loads),
        sum(load.capacity_bytes for load in loads),
    )
    return (
        f"cluster {found.cluster_id.hex()}, map epoch {found.epoch}, {found.group_count} groups, "
        f"{found.tenants} tenants, {found.spaces} spaces; {human_bytes(used)} of "
        f"{human_bytes(whole)} used, hit rate {percent(hits, hits + misses)}"
    )


def as_values(found: pb.StatusReply) -> dict[str, Any]:
    """The status as plain values, for JSON."""
    nodes = [
        {
            "id": node.id,
            "state": STATES.get(node.state, "unknown"),
            "address": node.tcp_address,
            "host": node.host,
            "rack": node.rack,
            "weight": node.weight,
            "groups": node.groups,
            "groups_to_move": node.groups_to_move,
            "heartbeat_age_ms": node.heartbeat_age_ms,
            "load": {field.name: getattr(node.load, field.name) for field in _load_fields()},
        }
        for node in found.nodes
    ]
    members = [
        {
            "id": member.id,
            "address": member.address,
            "leader": member.leader,
            "learner": member.learner,
            "match_index": member.match_index,
            "reachable": member.reachable,
        }
        for member in found.members
    ]
    hits = sum(node.load.hits for node in found.nodes)
    asked = hits + sum(node.load.misses for node in found.nodes)
    return {
        "cluster_id": found.cluster_id.hex(),
        "epoch": found.epoch,
        "group_count": found.group_count,
        "leader_id": found.leader_id,
        "term": found.term,
        "commit_index": found.commit_index,
        "applied_index": found.applied_index,
        "level": found.level,
        "level_max": found.level_max,
        "tenants": found.tenants,
        "spaces": found.spaces,
        "hit_rate": hits / asked if asked else None,
        "healthy": is_healthy(found),
        "survivals": survival_values(found.survivals),
        "members": members,
        "nodes": nodes,
    }


def _load_fields() -> Sequence[Any]:
    return pb.NodeLoad.DESCRIPTOR.fields


def _show(found: pb.StatusReply) -> None:
    say(summary(found))
    for line in survival_lines(found):
        say(line)
    table(MEMBER_COLUMNS, member_rows(found.members))
    table(NODE_COLUMNS, node_rows(found.nodes))


def _watch(admin: AdminClient) -> None:
    if not out.is_terminal:
        while True:
            _show(admin.status())
            time.sleep(1)
    with Live(_picture(admin), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(1)
            live.update(_picture(admin), refresh=True)


def _picture(admin: AdminClient) -> RenderableType:
    try:
        found = admin.status()
    except HoldfastError as error:
        return f"[red]no answer:[/] {error.message}"
    return Group(
        summary(found),
        *survival_lines(found),
        rich_table(MEMBER_COLUMNS, member_rows(found.members)),
        rich_table(NODE_COLUMNS, node_rows(found.nodes)),
    )
