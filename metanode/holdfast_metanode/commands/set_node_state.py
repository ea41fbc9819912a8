"""Marks a data node up, down or out. The leader's failure detector decides."""

from __future__ import annotations

from dataclasses import replace

from holdfast_kvstore.cluster_map import NodeState
from holdfast_kvstore.errors import InvalidArgument, StaleEpoch
from holdfast_metanode.state.change import Change
from holdfast_metanode.state.moving import settle, with_node
from holdfast_proto import command_pb2 as records

_FROM = {
    NodeState.UP: (NodeState.DOWN,),
    NodeState.DOWN: (NodeState.UP,),
    NodeState.OUT: (NodeState.DOWN, NodeState.DRAINING),
}


def apply(change: Change, operation: records.SetNodeState) -> records.Result:
    """A state that does not follow from the present one changes nothing.

    An out node stays out until it joins again. Raises NotFound, InvalidArgument, and StaleEpoch
    when the node has another incarnation than the one that was judged.
    """
    before = change.map()
    node = before.node(operation.node)
    if operation.state not in [int(state) for state in _FROM]:
        raise InvalidArgument(f"node state {operation.state} cannot be set")
    wanted = NodeState(operation.state)
    if node.incarnation != operation.incarnation:
        raise StaleEpoch(before.epoch, before.epoch)
    if node.state not in _FROM[wanted]:
        return records.Result(node=records.NodeResult(id=node.id, epoch=before.epoch))
    after = with_node(before, replace(node, state=wanted))
    if wanted is NodeState.OUT:
        after = settle(change, after)
    change.put_map(after)
    return records.Result(node=records.NodeResult(id=node.id, epoch=after.epoch))
