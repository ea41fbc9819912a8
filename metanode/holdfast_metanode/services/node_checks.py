"""What the leader refuses operators of data nodes before it logs a command. Pure."""

from __future__ import annotations

from holdfast_kvstore.cluster_map import ClusterMap, Node, NodeState
from holdfast_kvstore.errors import FailedPrecondition


def check_drain(cluster_map: ClusterMap, node_id: int) -> None:
    """Raises NotFound, and FailedPrecondition while no other node could take the blocks."""
    if cluster_map.node(node_id).state is NodeState.DRAINING:
        return
    others = [node for node in cluster_map.nodes if node.id != node_id]
    if any(node.state is NodeState.UP and node.weight > 0 for node in others):
        return
    found = ", ".join(map(_described, others)) or "there is no other"
    raise FailedPrecondition(
        f"node {node_id} is not drained: no other data node could take its blocks now ({found}); "
        "start one or add one, then try again"
    )


def _described(node: Node) -> str:
    state = node.state.name.lower()
    return f"node {node.id} is {state}" + ("" if node.weight else " with weight 0")
