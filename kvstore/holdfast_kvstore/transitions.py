"""From one cluster map to the next: what changes when nodes come, go or move their blocks.

Pure: the metadata leader computes the next map and proposes it; every function returns a map of
the next epoch and leaves the old one as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from holdfast_kvstore import placement
from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Int32Array, Node
from holdfast_kvstore.errors import InvalidArgument


def first_map(
    cluster_id: bytes,
    nodes: Iterable[Node],
    group_count: int,
    width: int,
    *,
    level: int = 1,
    ticket_keys: tuple[bytes, ...] = (),
) -> ClusterMap:
    """Epoch 1 of a cluster; `nodes` may be empty. Raises InvalidArgument like `ClusterMap`."""
    ordered = tuple(sorted(nodes, key=lambda node: node.id))
    owners = placement.place(ordered, group_count, width)
    return ClusterMap(
        cluster_id=cluster_id,
        epoch=1,
        nodes=ordered,
        owners=owners,
        previous=np.full_like(owners, HOLE),
        level=level,
        ticket_keys=ticket_keys,
    )


def with_nodes(before: ClusterMap, nodes: Iterable[Node]) -> ClusterMap:
    """The next epoch, in which the cluster consists of exactly `nodes`.

    Groups are placed anew only if that changes who may own them: not when a node goes down, comes
    back or has a new address. Groups whose owners changed name those that may hold their blocks
    as previous owners; a node that is out, gone or of a new incarnation holds none.
    """
    ordered = tuple(sorted(nodes, key=lambda node: node.id))
    slot_after = _slots_after(before, ordered)
    owners = _with_hole(slot_after)[before.owners]
    previous = _with_hole(_still_holding(before, ordered, slot_after))[before.previous]
    if _placed_by(before.nodes) != _placed_by(ordered):
        after = placement.place(ordered, before.group_count, before.width, owners)
        holding = _with_hole(_still_holding(before, ordered, slot_after))[before.owners]
        for group in np.flatnonzero((after != owners).any(axis=1)).tolist():
            previous[group] = _previous_row(
                after[group].tolist(),
                before.owners[group].tolist(),
                holding[group].tolist(),
                previous[group].tolist(),
            )
        owners = after
    return replace(
        before,
        epoch=before.epoch + 1,
        nodes=ordered,
        owners=owners,
        previous=_packed(previous),
    )


def with_moved(before: ClusterMap, groups: Sequence[int]) -> ClusterMap:
    """The next epoch, in which `groups` have no previous owners: their blocks have moved.

    Raises InvalidArgument for a group that is not one.
    """
    for group in groups:
        if not 0 <= group < before.group_count:
            raise InvalidArgument(f"group is {group}, it must be 0 to {before.group_count - 1}")
    previous = before.previous.copy()
    previous[list(groups)] = HOLE
    return replace(before, epoch=before.epoch + 1, previous=previous)


def with_split(before: ClusterMap, factor: int) -> ClusterMap:
    """The next epoch with `factor` times as many groups; every block keeps its owners.

    Raises InvalidArgument for a factor below 1 or too many groups.
    """
    return replace(
        before,
        epoch=before.epoch + 1,
        owners=placement.split(before.owners, factor),
        previous=placement.split(before.previous, factor),
    )


def _placed_by(nodes: Sequence[Node]) -> list[tuple[int, int, str, str]]:
    """What placement depends on."""
    return [(node.id, node.weight, node.host, node.rack) for node in nodes if node.owns]


def _slots_after(before: ClusterMap, nodes: Sequence[Node]) -> Int32Array:
    """int32[nodes before]: each old node's slot among `nodes`, -1 if it is gone."""
    slots = {node.id: slot for slot, node in enumerate(nodes)}
    return np.array([slots.get(node.id, HOLE) for node in before.nodes], dtype=np.int32)


def _still_holding(before: ClusterMap, nodes: Sequence[Node], slot_after: Int32Array) -> Int32Array:
    """int32[nodes before]: `slot_after`, but -1 for nodes whose blocks are lost."""
    holding = slot_after.copy()
    for slot_before, slot in enumerate(slot_after.tolist()):
        if slot == HOLE:
            continue
        node = nodes[slot]
        if not node.may_hold or node.incarnation != before.nodes[slot_before].incarnation:
            holding[slot_before] = HOLE
    return holding


def _with_hole(slots: Int32Array) -> Int32Array:
    """With one more entry, so that index -1 finds -1."""
    return np.append(slots, np.int32(HOLE))


def _previous_row(
    after: list[int], before: list[int], holding: list[int], older: list[int]
) -> list[int]:
    """Nodes that may hold blocks which the owners `after` lack, in the order to ask them.

    `before` are the old owners' old slots, `holding` their slots now, -1 for those that lost
    their blocks. Who owns the group at the same place or an earlier one is asked anyway. Where a
    copy was lost, every other holder is named: the new owner fetches the copy from there.
    """
    lost = any(slot != HOLE and now == HOLE for slot, now in zip(before, holding, strict=True))
    leaving = [
        slot
        for place, slot in enumerate(holding)
        if slot != HOLE and (lost or slot not in after[: place + 1])
    ]
    waiting = [slot for slot in older if slot != HOLE and slot != after[0]]
    # What an earlier change left behind is interleaved, so that neither is cut off whole.
    found: list[int] = []
    for rank in range(len(after)):
        for source in (leaving, waiting):
            if rank < len(source) and source[rank] not in found:
                found.append(source[rank])
    return (found + [HOLE] * len(after))[: len(after)]


def _packed(previous: Int32Array) -> Int32Array:
    """Rows with their holes at the end, the rest in order."""
    order = np.argsort(previous == HOLE, axis=1, kind="stable")
    return np.take_along_axis(previous, order, axis=1)
