"""Takes a data node off the map. Its id is never given again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Int32Array, NodeState
from holdfast_kvstore.errors import FailedPrecondition
from holdfast_metanode.state import levels
from holdfast_metanode.state.change import Change
from holdfast_metanode.state.moving import compacted, settle
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.RemoveNode) -> records.Result:
    """Raises NotFound, and FailedPrecondition for one that still holds blocks unless forced."""
    before = change.map()
    node = before.node(operation.node)
    first, owned = before.groups_of(node.id, 1).size, before.groups_of(node.id).size
    left = before.groups_left_on(node.id).size
    is_empty = owned == 0 and left == 0
    idle = node.state is NodeState.OUT or (node.state is NodeState.DRAINING and is_empty)
    if not idle and not operation.force:
        raise FailedPrecondition(
            f"node {node.id} is {node.state.name.lower()} and still has {first} groups, copies of "
            f"{owned - first} others and {left} to hand over: {_advice(node.state)}"
        )
    level = change.cluster().level
    without = _without(before, node.id, level)
    # Before that, moves went on waiting for the removed node until groups were placed anew.
    if level >= levels.HANDOVER:
        _hand_over(change, without, node.id)
    after = settle(change, without)
    change.put_map(after)
    return records.Result(node=records.NodeResult(id=node.id, epoch=after.epoch))


def _advice(state: NodeState) -> str:
    if state is NodeState.DOWN:
        return (
            "if its process has ended, the blocks in its memory are gone already, remove it with "
            "--force; if it is only stopped or cut off, bring it back, then drain it"
        )
    return (
        "drain it and wait until it holds nothing, or remove it with --force and lose what only "
        "it holds"
    )


def _hand_over(change: Change, after: ClusterMap, removed: int) -> None:
    """What the removed node had yet to take over is taken over by the owners that are left."""
    for group, move in list(change.moves()):
        if removed in move.pending:
            move.pending.remove(removed)
            if not move.pending:
                move.pending.extend(owner.id for owner in after.owners_of(group))
            change.put_move(group, move)


def _without(before: ClusterMap, node_id: int, level: int) -> ClusterMap:
    slot = before.slot_of(node_id)
    previous = _renumbered(before.previous, slot)
    return replace(
        before,
        epoch=before.epoch + 1,
        nodes=tuple(node for node in before.nodes if node.id != node_id),
        owners=compacted(_renumbered(before.owners, slot)),
        previous=previous if level >= levels.SHARDS else compacted(previous),
    )


def _renumbered(table: Int32Array, slot: int) -> Int32Array:
    kept = np.where(table == slot, np.int32(HOLE), table)
    return np.where(kept > slot, kept - 1, kept).astype(np.int32)
