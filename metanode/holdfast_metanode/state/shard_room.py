"""Whether a cluster has nodes and hosts enough for the shards of a block. Pure."""

from __future__ import annotations

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Node, NodeState
from holdfast_kvstore.errors import FailedPrecondition
from holdfast_kvstore.redundancy import Redundancy


def check_shard_room(cluster_map: ClusterMap, redundancy: Redundancy, *, force: bool) -> None:
    """Raises FailedPrecondition where a block would survive less than its redundancy promises.

    force: only where it could not even be read.
    """
    able = _able_nodes(cluster_map)
    hosts = {(node.rack, node.host or node.id) for node in able}
    details = {
        "redundancy": str(redundancy),
        "nodes_needed": str(redundancy.owners),
        "nodes": str(len(able)),
        "hosts": str(len(hosts)),
    }
    if len(able) < redundancy.data:
        raise FailedPrecondition(
            f"{redundancy} needs {redundancy.data} data nodes to hold a block at all and "
            f"{redundancy.owners} for all its shards, {_found(cluster_map, able)}: start more, or "
            "use fewer data shards",
            **details,
        )
    if force:
        return
    advice = (
        "start more, use fewer shards (as ec:2+1), or create the space with force (--force) and "
        "survive fewer failures"
    )
    if len(able) < redundancy.owners:
        raise FailedPrecondition(
            f"{redundancy} needs {redundancy.owners} data nodes, {_found(cluster_map, able)}: "
            f"{advice}",
            **details,
        )
    if len(hosts) < redundancy.owners:
        raise FailedPrecondition(
            f"{redundancy} needs data nodes on {redundancy.owners} hosts, those of this cluster "
            f"lie on {len(hosts)}: {advice}",
            **details,
        )


def has_places(cluster_map: ClusterMap, owners: int, *, all_up: bool = False) -> bool:
    """Whether groups were placed since rows became wide enough for so many owners.

    Fewer are enough where no more nodes own groups; all_up: where no more nodes are up.
    """
    width = min(owners, cluster_map.width)
    if (cluster_map.owners[0, :width] != HOLE).all():
        return True  # nearly always; no need to look at all groups
    filled = int((cluster_map.owners[:, :width] != HOLE).sum(axis=1).max())
    nodes = sum(slot != HOLE for slot in np.unique(cluster_map.owners).tolist())
    if all_up:
        up = [n for n in cluster_map.nodes if n.weight > 0 and n.state is NodeState.UP]
        nodes = max(nodes, len(up))
    return filled >= min(width, int(nodes))


def _able_nodes(cluster_map: ClusterMap) -> list[Node]:
    """Nodes that are up, or joined and have not served yet."""
    owning = set(np.unique(cluster_map.owners).tolist())
    return [
        node
        for slot, node in enumerate(cluster_map.nodes)
        if node.weight > 0
        and (node.state is NodeState.UP or (node.state is NodeState.DOWN and slot not in owning))
    ]


def _found(cluster_map: ClusterMap, able: list[Node]) -> str:
    others = len(cluster_map.nodes) - len(able)
    aside = f" ({others} more are down, out, draining or of weight 0)" if others else ""
    return f"{len(able)} of this cluster can take blocks now{aside}"
