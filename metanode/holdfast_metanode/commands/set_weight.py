"""Changes how large a share of the groups a data node gets."""

from __future__ import annotations

from dataclasses import replace

from holdfast_metanode.state.change import Change
from holdfast_metanode.state.moving import with_node
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.SetWeight) -> records.Result:
    """Raises NotFound."""
    before = change.map()
    node = before.node(operation.node)
    epoch = before.epoch
    if node.weight != operation.weight:
        after = with_node(before, replace(node, weight=operation.weight))
        change.put_map(after)
        epoch = after.epoch
    return records.Result(node=records.NodeResult(id=node.id, epoch=epoch))
