"""Notes where a metadata member listens and which cluster level its build supports."""

from __future__ import annotations

from holdfast_kvstore.errors import FailedPrecondition, InvalidArgument
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.RegisterMember) -> records.Result:
    """Raises InvalidArgument; FailedPrecondition for a removed member or an old build."""
    cluster = change.cluster()
    if operation.id == 0 or not operation.address:
        raise InvalidArgument("a member registers with an id of at least 1 and an address")
    if change.is_former_member(operation.id):
        raise FailedPrecondition(
            f"member {operation.id} was removed: join under an id that was never used, with an "
            "empty data folder"
        )
    if operation.level_max < cluster.level:
        raise FailedPrecondition(
            f"member {operation.id} supports cluster level {operation.level_max}, the cluster is "
            f"at {cluster.level}: start it with a newer build"
        )
    change.put_member(operation)
    return records.Result(map=records.MapResult(epoch=change.epoch()))
