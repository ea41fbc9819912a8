"""How many failures the cluster can take right now, a line for each redundancy in use."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast_proto import meta_pb2 as pb


def survival_lines(found: pb.StatusReply) -> list[str]:
    """As far as the cluster map tells: where blocks are to lie, and which nodes are up."""
    down = {
        (node.rack, node.host or node.id)
        for node in found.nodes
        if node.state == pb.NODE_STATE_DOWN
    }
    racks = {node.rack for node in found.nodes}
    return [_line(each, len(down), len(racks), found.group_count) for each in found.survivals]


def is_short(survival: pb.Survival) -> bool:
    """Whether blocks survive less than their redundancy promises, or cannot be read now."""
    return (
        survival.hosts_now < survival.failures
        or survival.placed < survival.owners
        or survival.groups_lost > 0
    )


def _line(survival: pb.Survival, hosts_down: int, racks: int, groups: int) -> str:
    text = f"{survival.redundancy}: {_failures(survival.hosts, 'host')}"
    if survival.hosts < survival.failures:
        text += f" instead of {survival.failures}"
    if racks > 1:
        text += f", {_failures(survival.racks, 'rack')}"
    if survival.placed < survival.owners:
        kind = "shards" if survival.redundancy.startswith("ec:") else "copies"
        text += f", {survival.placed} of {survival.owners} {kind} placed"
    now = _now(survival, groups)
    if now:
        plural = "" if hosts_down == 1 else "s"
        text += f" ({hosts_down} host{plural} down now: {now})"
    return text


def _now(survival: pb.Survival, groups: int) -> str:
    if survival.groups_lost:
        return f"blocks of {survival.groups_lost} of {groups} groups cannot be read"
    if survival.hosts_now != survival.hosts:
        return f"{survival.hosts_now} left"
    return ""


def _failures(count: int, what: str) -> str:
    return f"{count or 'no'} {what} failure{'' if count == 1 else 's'}"


def survival_values(survivals: Sequence[pb.Survival]) -> list[dict[str, object]]:
    """The same as plain values, for JSON."""
    names = [field.name for field in pb.Survival.DESCRIPTOR.fields]
    return [{name: getattr(each, name) for name in names} for each in survivals]
