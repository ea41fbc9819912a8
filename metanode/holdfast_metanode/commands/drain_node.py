"""Starts draining a data node: its groups go to others, which take over what it holds."""

from __future__ import annotations

from dataclasses import replace

from holdfast_kvstore.cluster_map import NodeState
from holdfast_kvstore.errors import FailedPrecondition
from holdfast_metanode.state.change import Change
from holdfast_metanode.state.moving import with_node
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.DrainNode) -> records.Result:
    """Draining twice is fine. Raises NotFound; FailedPrecondition for the last owner or one out."""
    before = change.map()
    node = before.node(operation.node)
    if node.state is NodeState.DRAINING:
        return records.Result(node=records.NodeResult(id=node.id, epoch=before.epoch))
    if node.state is NodeState.OUT:
        raise FailedPrecondition(f"node {node.id} is out and owns nothing: remove it")
    if not any(other.owns and other.id != node.id for other in before.nodes):
        raise FailedPrecondition(
            f"node {node.id} is the only one that can own groups: join another one first"
        )
    after = with_node(before, replace(node, state=NodeState.DRAINING))
    change.put_map(after)
    return records.Result(node=records.NodeResult(id=node.id, epoch=after.epoch))
