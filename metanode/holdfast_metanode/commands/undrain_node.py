"""Ends the draining of a data node: it gets groups again."""

from __future__ import annotations

from dataclasses import replace

from holdfast_kvstore.cluster_map import NodeState
from holdfast_kvstore.errors import FailedPrecondition
from holdfast_metanode.state.change import Change
from holdfast_metanode.state.moving import with_node
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.UndrainNode) -> records.Result:
    """Undraining twice is fine. Raises NotFound; FailedPrecondition for a node that is out.

    One that is silent is marked down at the leader's next look, before groups are given anew.
    """
    before = change.map()
    node = before.node(operation.node)
    if node.state is NodeState.OUT:
        raise FailedPrecondition(
            f"node {node.id} is out: start it, it then gets groups again by itself"
        )
    if node.state is not NodeState.DRAINING:
        return records.Result(node=records.NodeResult(id=node.id, epoch=before.epoch))
    after = with_node(before, replace(node, state=NodeState.UP))
    change.put_map(after)
    return records.Result(node=records.NodeResult(id=node.id, epoch=after.epoch))
