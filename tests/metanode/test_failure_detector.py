"""Down after seconds, out after minutes, up when heard; a new leader gives time of grace."""

from __future__ import annotations

from holdfast_kvstore.cluster_map import NodeState
from holdfast_metanode.planner.failure_detector import FailureDetector
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta
from tests.metanode.rig import MachineRig

DOWN_MS, OUT_MS = 3_000, 60_000


class Watched:
    """A detector, and the map that its verdicts lead to."""

    def __init__(self, nodes: int = 2) -> None:
        self.rig = MachineRig()
        self.detector = FailureDetector(DOWN_MS, OUT_MS)
        self.detector.start(0)
        self.incarnations = {self.rig.join(): 1 for _ in range(nodes)}

    def hear(self, node: int, now_ms: int) -> None:
        self.detector.hear(node, self.incarnations[node], meta.NodeLoad(), now_ms)

    def states_at(self, now_ms: int) -> list[str]:
        for verdict in self.detector.judge(self.rig.map(), now_ms):
            self.rig.apply(
                set_node_state=records.SetNodeState(
                    node=verdict.node.id,
                    incarnation=verdict.node.incarnation,
                    state=meta.NodeState.ValueType(verdict.state),
                )
            )
        return [node.state.name for node in self.rig.map().nodes]


def test_heard_is_up_silent_is_down_then_out() -> None:
    watched = Watched()
    assert watched.states_at(10) == ["DOWN", "DOWN"]  # joined, not heard yet
    watched.hear(1, 100)
    watched.hear(2, 100)
    assert watched.states_at(200) == ["UP", "UP"]
    watched.hear(2, 3_000)
    assert watched.states_at(3_099) == ["UP", "UP"]
    assert watched.states_at(3_100) == ["DOWN", "UP"]
    watched.hear(1, 4_000)
    assert watched.states_at(4_100) == ["UP", "UP"]
    watched.hear(2, 63_999)
    assert watched.states_at(64_000) == ["DOWN", "UP"]
    assert watched.states_at(64_001) == ["OUT", "UP"]


def test_out_stays_out_until_it_joins() -> None:
    watched = Watched(1)
    assert watched.states_at(OUT_MS) == ["OUT"]
    watched.hear(1, OUT_MS + 1)
    assert watched.states_at(OUT_MS + 2) == ["OUT"]


def test_new_leader_gives_everyone_time() -> None:
    watched = Watched()
    watched.hear(1, 0)
    watched.hear(2, 0)
    assert watched.states_at(1) == ["UP", "UP"]
    watched.detector.start(1_000_000)
    assert watched.states_at(1_000_000 + DOWN_MS - 1) == ["UP", "UP"]
    assert watched.states_at(1_000_000 + DOWN_MS) == ["DOWN", "DOWN"]


def test_node_that_left_is_down_at_once_and_up_when_heard() -> None:
    watched = Watched(1)
    watched.hear(1, 0)
    assert watched.states_at(1) == ["UP"]
    watched.detector.left(1)
    assert watched.states_at(2) == ["DOWN"]
    watched.hear(1, 3)
    assert watched.states_at(4) == ["UP"]


def test_removed_node_is_forgotten() -> None:
    watched = Watched()
    watched.hear(1, 0)
    watched.rig.apply(remove_node=records.RemoveNode(node=1, force=True))
    watched.states_at(1)
    assert watched.detector.heard_from(1) is None


def test_draining_node_that_is_silent_for_long_is_out() -> None:
    watched = Watched()
    watched.hear(1, 0)
    watched.hear(2, 0)
    watched.states_at(1)
    watched.rig.apply(drain_node=records.DrainNode(node=1))
    watched.hear(2, OUT_MS)
    assert watched.states_at(OUT_MS - 1)[0] == NodeState.DRAINING.name
    assert watched.states_at(OUT_MS)[0] == NodeState.OUT.name
