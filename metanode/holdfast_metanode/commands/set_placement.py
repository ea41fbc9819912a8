"""Installs owners of all groups, as the leader's planner computed them."""

from __future__ import annotations

import numpy as np

from holdfast_kvstore.cluster_map import HOLE
from holdfast_kvstore.errors import InvalidArgument, StaleEpoch
from holdfast_metanode.state.change import Change
from holdfast_metanode.state.moving import move
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.SetPlacement) -> records.Result:
    """Raises StaleEpoch when the map changed since it was planned, InvalidArgument."""
    before = change.map()
    if operation.base_epoch != before.epoch:
        raise StaleEpoch(before.epoch, operation.base_epoch)
    flat = np.frombuffer(operation.owners, dtype="<i2").astype(np.int32)
    if flat.size != before.owners.size:
        raise InvalidArgument(
            f"a placement of {flat.size} places does not fit a map of {before.owners.size}"
        )
    owners = flat.reshape(before.owners.shape)
    if owners.size and (owners.min() < HOLE or owners.max() >= len(before.nodes)):
        raise InvalidArgument(f"a placement names a node outside of the {len(before.nodes)} nodes")
    after = move(change, before, owners)
    change.put_map(after)
    return records.Result(map=records.MapResult(epoch=after.epoch))
