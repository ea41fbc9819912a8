"""A data node joins, or comes back. Groups are given to it by `SetPlacement`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Node, NodeState
from holdfast_kvstore.errors import InvalidArgument, NotFound, QuotaExceeded
from holdfast_kvstore.policies import LIMITS
from holdfast_metanode.state.change import Change
from holdfast_metanode.state.moving import settle, with_node
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.JoinNode) -> records.Result:
    """A known node keeps its id, groups and weight; with a new incarnation it holds nothing.

    It is down until its first heartbeat says that it serves; a draining node goes on draining.
    Raises InvalidArgument for a field outside its range, NotFound for an id that was removed or
    never given, QuotaExceeded.
    """
    before = change.map()
    node_id = operation.id
    known = {node.id: node for node in before.nodes}
    if not operation.tcp_address:
        raise InvalidArgument("a data node joins with its address, this one sent none")
    if node_id and node_id not in known:
        raise NotFound(
            f"node {node_id} was removed from this cluster or never belonged to it: start it with "
            "an empty data folder to join as a new node"
        )
    if node_id:
        after = _return(change, before, known[node_id], operation)
    else:
        node_id, after = _enter(change, before, operation)
    if after is not before:
        change.put_map(after)
    return records.Result(node=records.NodeResult(id=node_id, epoch=after.epoch))


def _node(node_id: int, operation: records.JoinNode) -> Node:
    return Node(
        id=node_id,
        incarnation=operation.incarnation,
        tcp_address=operation.tcp_address,
        unix_path=operation.unix_path,
        boot_id=operation.boot_id,
        host=operation.host,
        rack=operation.rack,
        weight=operation.weight,
        capacity_bytes=operation.capacity_bytes,
        state=NodeState.DOWN,
    )


def _enter(
    change: Change, before: ClusterMap, operation: records.JoinNode
) -> tuple[int, ClusterMap]:
    if len(before.nodes) >= LIMITS.nodes_max:
        raise QuotaExceeded(f"{LIMITS.nodes_max} data nodes are the limit: remove one first")
    counters = change.counters()
    node_id = counters.node_last + 1
    entering = _node(node_id, operation)
    counters.node_last = node_id
    change.put_counters(counters)
    # The newest id is the highest, so that the others keep their places in the table.
    after = replace(before, epoch=before.epoch + 1, nodes=(*before.nodes, entering))
    return node_id, after


def _return(
    change: Change, before: ClusterMap, known: Node, operation: records.JoinNode
) -> ClusterMap:
    state = known.state
    if known.incarnation != operation.incarnation or state is NodeState.OUT:
        state = NodeState.DRAINING if state is NodeState.DRAINING else NodeState.DOWN
    returning = replace(_node(known.id, operation), weight=known.weight, state=state)
    if returning == known:
        return before
    after = with_node(before, returning)
    if returning.incarnation != known.incarnation:
        slot = after.slot_of(known.id)
        previous = np.where(after.previous == slot, np.int32(HOLE), after.previous)
        after = settle(change, replace(after, previous=previous))
    return after
