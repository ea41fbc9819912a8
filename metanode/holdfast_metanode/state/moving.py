"""Previous owners of groups, and who still has to take over what they hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Int32Array, Node, NodeState
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def with_node(before: ClusterMap, node: Node) -> ClusterMap:
    """The next epoch with `node` in the place of the one of its id, groups as they are."""
    nodes = list(before.nodes)
    nodes[before.slot_of(node.id)] = node
    return replace(before, epoch=before.epoch + 1, nodes=tuple(nodes))


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
    return replace(value, previous=compacted(previous))


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
    changed = np.flatnonzero((owners != before.owners).any(axis=1))
    for group in changed.tolist():
        old = [slot for slot in before.owners[group].tolist() if slot != HOLE]
        new = [slot for slot in owners[group].tolist() if slot != HOLE]
        earlier = change.move(group)
        gained = [
            before.nodes[slot].id
            for place, slot in enumerate(new)
            if slot not in old or old.index(slot) > place
        ]
        present = {before.nodes[slot].id for slot in new}
        waiting = [] if earlier is None else [i for i in earlier.pending if i in present]
        pending = gained + [node_id for node_id in waiting if node_id not in gained]
        sources = old if gained else []
        sources += [s for s in before.previous[group].tolist() if s != HOLE and s not in sources]
        row = _sources(before, sources, new, pending)
        previous[group] = HOLE
        previous[group, : len(row)] = row
        if row and pending:
            since = after_epoch if gained or earlier is None else earlier.since_epoch
            change.put_move(group, records.MoveRecord(since_epoch=since, pending=pending))
        elif earlier is not None or row:
            previous[group] = HOLE
            change.delete_moves([group])
    return settle(change, replace(before, epoch=after_epoch, owners=owners, previous=previous))


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
