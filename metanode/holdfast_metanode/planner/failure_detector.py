"""Which data nodes are silent. Known to the leader alone; only its judgements are commands."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_kvstore.cluster_map import ClusterMap, Node, NodeState
from holdfast_proto import meta_pb2 as meta


@dataclass(frozen=True, slots=True)
class Heard:
    """The last heartbeat of a node."""

    incarnation: int
    at_ms: int
    """On the leader's monotonic clock."""
    load: meta.NodeLoad


@dataclass(frozen=True, slots=True)
class Verdict:
    """A node whose state should change."""

    node: Node
    state: NodeState


class FailureDetector:
    """Silent for `down_after_ms`: down. Silent for `out_after_ms`: out. Heard again: up."""

    def __init__(self, down_after_ms: int, out_after_ms: int) -> None:
        self._down_after_ms = down_after_ms
        self._out_after_ms = out_after_ms
        self._heard: dict[int, Heard] = {}
        self._since_ms = 0
        self._not_serving: set[int] = set()

    def start(self, now_ms: int) -> None:
        """This member leads from now on: everyone gets a fresh time of grace."""
        self._heard.clear()
        self._not_serving.clear()
        self._since_ms = now_ms

    def expect(self, node_id: int, incarnation: int, load: meta.NodeLoad, now_ms: int) -> None:
        """A node joined: its time of grace begins, and its first heartbeat says that it serves."""
        self._heard[node_id] = Heard(incarnation, now_ms, load)
        self._not_serving.add(node_id)

    def hear(self, node_id: int, incarnation: int, load: meta.NodeLoad, now_ms: int) -> None:
        """A heartbeat."""
        self._heard[node_id] = Heard(incarnation, now_ms, load)
        self._not_serving.discard(node_id)

    def left(self, node_id: int) -> None:
        """A node said that it stops: down until it is heard again."""
        self._not_serving.add(node_id)

    def heard_from(self, node_id: int) -> Heard | None:
        """A node's last heartbeat since this member leads."""
        return self._heard.get(node_id)

    def judge(self, cluster_map: ClusterMap, now_ms: int) -> list[Verdict]:
        """What should change now, by node id."""
        known = {node.id for node in cluster_map.nodes}
        for gone in self._heard.keys() - known:
            del self._heard[gone]
        verdicts = []
        for node in cluster_map.nodes:
            heard = self._heard.get(node.id)
            silent_ms = now_ms - (heard.at_ms if heard else self._since_ms)
            state = self._state_of(node, silent_ms)
            if state is not node.state:
                verdicts.append(Verdict(node, state))
        return verdicts

    def _state_of(self, node: Node, silent_ms: int) -> NodeState:
        match node.state:
            case NodeState.UP if silent_ms >= self._down_after_ms or node.id in self._not_serving:
                return NodeState.DOWN
            case NodeState.DOWN if silent_ms >= self._out_after_ms:
                return NodeState.OUT
            case NodeState.DOWN if (
                silent_ms < self._down_after_ms
                and node.id in self._heard
                and node.id not in self._not_serving
            ):
                return NodeState.UP
            case NodeState.DRAINING if silent_ms >= self._out_after_ms:
                return NodeState.OUT
        return node.state
