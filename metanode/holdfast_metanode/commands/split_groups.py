"""Splits every group into several: each block keeps its owners, later moves are finer."""

from __future__ import annotations

from dataclasses import replace

from holdfast_kvstore.placement import split
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.SplitGroups) -> records.Result:
    """Group g becomes groups g * factor to g * factor + factor - 1. Raises InvalidArgument."""
    before = change.map()
    factor = operation.factor
    owners = split(before.owners, factor)
    if factor == 1:
        return records.Result(map=records.MapResult(epoch=before.epoch))
    moves = list(change.moves())
    change.delete_moves([group for group, _ in moves])
    for group, move in moves:
        for part in range(group * factor, (group + 1) * factor):
            change.put_move(part, move)
    after = replace(
        before, epoch=before.epoch + 1, owners=owners, previous=split(before.previous, factor)
    )
    change.put_map(after)
    return records.Result(map=records.MapResult(epoch=after.epoch))
