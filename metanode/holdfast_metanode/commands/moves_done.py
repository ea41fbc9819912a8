"""A data node has taken over what its groups' previous owners held."""

from __future__ import annotations

from dataclasses import replace

from holdfast_kvstore.cluster_map import HOLE
from holdfast_kvstore.errors import StaleEpoch
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.MovesDone) -> records.Result:
    """Groups that moved again since, or that do not wait for this node, are left out.

    Raises NotFound; StaleEpoch when the node was restarted empty since.
    """
    before = change.map()
    node = before.node(operation.node)
    if node.incarnation != operation.incarnation:
        raise StaleEpoch(before.epoch, operation.epoch)
    finished = []
    for group in sorted(set(operation.groups)):
        found = change.move(group)
        if found is None or operation.epoch < found.since_epoch or node.id not in found.pending:
            continue
        found.pending.remove(node.id)
        if found.pending:
            change.put_move(group, found)
        else:
            finished.append(group)
    if not finished:
        return records.Result(map=records.MapResult(epoch=before.epoch))
    change.delete_moves(finished)
    previous = before.previous.copy()
    previous[finished] = HOLE
    after = replace(before, epoch=before.epoch + 1, previous=previous)
    change.put_map(after)
    return records.Result(map=records.MapResult(epoch=after.epoch))
