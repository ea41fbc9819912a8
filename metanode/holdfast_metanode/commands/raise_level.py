"""Raises the cluster level: commands of that version may be logged from here on."""

from __future__ import annotations

from dataclasses import replace

from holdfast_kvstore.errors import FailedPrecondition
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.RaiseLevel) -> records.Result:
    """The level never falls. Raises FailedPrecondition while a member does not support it."""
    cluster = change.cluster()
    behind = [member for member in change.members() if member.level_max < operation.level]
    if behind:
        raise FailedPrecondition(
            f"member {behind[0].id} supports cluster level {behind[0].level_max}, not "
            f"{operation.level}: upgrade it first"
        )
    before = change.map()
    if operation.level <= cluster.level:
        return records.Result(map=records.MapResult(epoch=before.epoch))
    cluster.level = operation.level
    change.put_cluster(cluster)
    after = replace(before, epoch=before.epoch + 1, level=operation.level)
    change.put_map(after)
    return records.Result(map=records.MapResult(epoch=after.epoch))
