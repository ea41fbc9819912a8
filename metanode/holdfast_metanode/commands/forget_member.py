"""Drops the record of a removed metadata member; its id is not used again."""

from __future__ import annotations

from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.ForgetMember) -> records.Result:
    """Forgetting twice is fine."""
    change.cluster()
    change.retire_member(operation.id)
    return records.Result(map=records.MapResult(epoch=change.epoch()))
