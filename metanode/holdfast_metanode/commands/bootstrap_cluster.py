"""Founds the cluster: its id, its first signing key, an empty map, its first members."""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast_kvstore.cluster_map import HOLE, ClusterMap
from holdfast_kvstore.tickets import public_key_bytes
from holdfast_metanode.state.change import Change
from holdfast_proto import command_pb2 as records


def apply(change: Change, operation: records.BootstrapCluster) -> records.Result:
    """Changes nothing in a cluster that is founded: two leaders may both have tried."""
    if change.founded():
        return records.Result(map=records.MapResult(epoch=change.epoch()))
    public = public_key_bytes(Ed25519PrivateKey.from_private_bytes(operation.signing_key))
    nowhere = np.full((operation.group_count, operation.width), HOLE, dtype=np.int32)
    first = ClusterMap(
        cluster_id=operation.cluster_id,
        epoch=1,
        nodes=(),
        owners=nowhere,
        previous=nowhere,
        level=1,
        ticket_keys=(public,),
    )
    change.put_cluster(
        records.ClusterRecord(
            cluster_id=operation.cluster_id,
            level=1,
            created_at_ms=change.now_ms,
            signing_keys=[operation.signing_key],
        )
    )
    change.put_map(first)
    for member in operation.members:
        change.put_member(member)
    return records.Result(map=records.MapResult(epoch=1))
