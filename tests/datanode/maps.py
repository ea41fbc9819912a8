"""Cluster maps written by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from holdfast_kvstore.cluster_map import ClusterMap, Node, NodeState

CLUSTER_ID = bytes(range(16))


def cluster_map(
    owners: Sequence[Sequence[int]],
    previous: Sequence[Sequence[int]] | None = None,
    *,
    epoch: int = 1,
    states: dict[int, NodeState] | None = None,
) -> ClusterMap:
    """A map of nodes 1 to 4 at addresses "node-1:1" and so on.

    `owners` and `previous` name nodes by id, 0 for none: [group_count][width].
    """
    nodes = tuple(
        Node(
            id=number,
            incarnation=1,
            tcp_address=f"node-{number}:1",
            state=(states or {}).get(number, NodeState.UP),
        )
        for number in range(1, 5)
    )
    table = np.array(owners, dtype=np.int32) - 1
    before = np.array(previous, dtype=np.int32) - 1 if previous else np.full_like(table, -1)
    return ClusterMap(
        cluster_id=CLUSTER_ID, epoch=epoch, nodes=nodes, owners=table, previous=before
    )
