"""Previous owners of groups, and who still has to take over what they hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Int32Array, Node, NodeState
from holdfast_metanode.state import levels, lineage
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def with_node(before: ClusterMap, node: Node) -> ClusterMap:
    """The next epoch with `node` in the place of the one of its id, groups as they are."""
    nodes = list(before.nodes)
    nodes[before.slot_of(node.id)] = node
    return replace(before, epoch=before.epoch + 1, nodes=tuple(nodes))


def widened(before: ClusterMap, width: int) -> ClusterMap:
    """The next epoch with rows of `width` places, the new ones holes until groups are placed."""
    more = ((0, 0), (0, width - before.width))
    return replace(
        before,
        epoch=before.epoch + 1,
        owners=np.pad(before.owners, more, constant_values=HOLE),
        previous=np.pad(before.previous, more, constant_values=HOLE),
    )


def settle(change: Change, value: ClusterMap) -> ClusterMap:
    """`value` without previous owners of groups that nobody takes over from any more.

    A node that is out holds nothing that can be fetched. A group without previous owners, or
    without an owner that still has to take over, moves no more.
    """
    gone = [slot for slot, node in enumerate(value.nodes) if node.state is NodeState.OUT]
    previous = value.previous.copy()
    if gone:
        previous[np.isin(previous, gone)] = HOLE
    done = []
    for group, move in change.moves():
        if not move.pending or not (previous[group] != HOLE).any():
            done.append(group)
    previous[done] = HOLE
    change.delete_moves(done)
    in_order = change.cluster().level >= levels.SHARDS
    return replace(value, previous=previous if in_order else compacted(previous))


def compacted(table: Int32Array) -> Int32Array:
    """`table` with each row's nodes before its holes, in their order."""
    order = np.argsort(table == HOLE, axis=1, kind="stable")
    return np.take_along_axis(table, order, axis=1)


def move(change: Change, before: ClusterMap, owners: Int32Array) -> ClusterMap:
    """The next map with `owners`: where an owner gains blocks, the old owners become previous.

    An owner gains when it stands further in front than before. What it has to fetch lies on the
    group's old owners, or on its previous ones if those were not done.
    """
    previous = before.previous.copy()
    after_epoch = before.epoch + 1
    in_order = change.cluster().level >= levels.SHARDS
    changed = np.flatnonzero((owners != before.owners).any(axis=1))
    for group in changed.tolist():
        old, new = before.owners[group].tolist(), owners[group].tolist()
        earlier = change.move(group)
        gained = lineage.gained(before, old, new) if in_order else _gained(before, old, new)
        present = {before.nodes[slot].id for slot in _nodes(new)}
        waiting = [] if earlier is None else list(earlier.pending)
        pending = [*gained, *(i for i in waiting if i in present and i not in gained)]
        if in_order and gained:
            row = lineage.previous_row(before, group, new, waiting)
        elif in_order:
            row = before.previous[group].tolist()
        else:
            candidates = [*(old if gained else []), *before.previous[group].tolist()]
            row = _sources(before, _nodes(candidates), new, pending)
        previous[group] = HOLE
        if _has_source(before, row, pending):
            previous[group, : len(row)] = row
            since = after_epoch if gained or earlier is None else earlier.since_epoch
            change.put_move(group, records.MoveRecord(since_epoch=since, pending=pending))
        elif earlier is not None:
            change.delete_moves([group])
    return settle(change, replace(before, epoch=after_epoch, owners=owners, previous=previous))


def _gained(before: ClusterMap, old: list[int], new: list[int]) -> list[int]:
    """Ids of owners that stand further in front than before."""
    old = _nodes(old)
    return [
        before.nodes[slot].id
        for place, slot in enumerate(_nodes(new))
        if slot not in old or old.index(slot) > place
    ]


def _nodes(row: list[int]) -> list[int]:
    """The nodes of a row, each once, without its holes."""
    return [slot for slot in dict.fromkeys(row) if slot != HOLE]


def _has_source(before: ClusterMap, row: list[int], pending: list[int]) -> bool:
    """Whether a pending owner has somebody else to fetch from."""
    sources = [before.nodes[slot].id for slot in _nodes(row)]
    return any(source != node_id for source in sources for node_id in pending)


def _sources(
    before: ClusterMap, candidates: list[int], new: list[int], pending: list[int]
) -> list[int]:
    """Nodes that may hold what the pending owners lack, those that left the group first.

    A pending owner that is the only candidate has nobody to fetch from.
    """
    alive = [slot for slot in candidates if before.nodes[slot].may_hold]
    useful = [
        slot for slot in alive if any(before.nodes[slot].id != node_id for node_id in pending)
    ]
    useful.sort(key=lambda slot: slot in new)  # stable: owners are asked anyway
    return useful[: before.width]


def groups_to_move(value: ClusterMap) -> npt.NDArray[np.int64]:
    """int64[nodes]: groups that wait for a move to or from each node."""
    moving = (value.previous != HOLE).any(axis=1)
    counts = np.zeros(len(value.nodes), dtype=np.int64)
    for slot in range(len(value.nodes)):
        mine = (value.previous == slot).any(axis=1) | (value.owners == slot).any(axis=1)
        counts[slot] = int((mine & moving).sum())
    return counts
