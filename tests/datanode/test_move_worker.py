"""Moves, step by step, with a clock that the test holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from holdfast_datanode.config import WorkersConfig
from holdfast_datanode.view import View
from holdfast_datanode.workers import MoveWorker
from holdfast_kvstore.cluster_map import ClusterMap, NodeState
from holdfast_kvstore.errors import StaleEpoch, Unavailable
from holdfast_kvstore.map_codec import encode_map
from holdfast_proto import meta_pb2
from tests.datanode.maps import cluster_map
from tests.datanode.native_twin import NodeTwin

SINGLE, MIRROR, CUT = 7, 8, 9
SPACES = [
    meta_pb2.SpaceInfo(number=SINGLE, tenant_number=1, block_bytes=100, redundancy="single"),
    meta_pb2.SpaceInfo(number=MIRROR, tenant_number=1, block_bytes=100, redundancy="mirror:2"),
]
WITH_CUT = [
    *SPACES,
    meta_pb2.SpaceInfo(number=CUT, tenant_number=1, block_bytes=100, redundancy="ec:2+1"),
]
STEPS_MAX = 1_000


@dataclass
class Rig:
    """Node 1 with its worker; nodes 2 to 4 are twins that hold blocks."""

    pace: WorkersConfig = field(default_factory=WorkersConfig)
    now_s: float = 1_000.0
    version: int = 0
    reports: list[tuple[int, list[int]]] = field(default_factory=list)
    report_errors: list[Exception] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.peers = {f"node-{number}:1": NodeTwin() for number in (2, 3, 4)}
        self.node = NodeTwin(peers=dict(self.peers))
        self.view = View(1, self.node)
        self.worker = MoveWorker(
            self.node,
            self.view,
            lambda: b"ticket",
            self.report,
            self.pace,
            monotonic_s=lambda: self.now_s,
        )

    def peer(self, number: int) -> NodeTwin:
        return self.peers[f"node-{number}:1"]

    def report(self, epoch: int, groups: list[int]) -> None:
        if self.report_errors:
            raise self.report_errors.pop(0)
        self.reports.append((epoch, groups))

    def show(self, map_: ClusterMap, spaces: Sequence[meta_pb2.SpaceInfo] = SPACES) -> None:
        self.version += 1
        self.view.apply(
            meta_pb2.NodeView(
                version=self.version, epoch=map_.epoch, map=encode_map(map_), spaces=spaces
            )
        )

    def work(self, for_s: float = 0.0) -> None:
        """Works until there is nothing to do within `for_s` seconds of the worker's time."""
        ends_at_s = self.now_s + for_s
        for _ in range(STEPS_MAX):
            rest_s = self.worker.work()
            if rest_s == 0:
                continue
            if rest_s is None or self.now_s + rest_s > ends_at_s:
                self.now_s = ends_at_s
                return
            self.now_s += rest_s
        raise AssertionError(f"not done after {STEPS_MAX} steps")


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_without_moves_nothing_is_asked_or_reported(rig: Rig) -> None:
    rig.work()
    rig.show(cluster_map([[1], [2]]))
    rig.work(for_s=60)
    assert rig.node.pulls == []
    assert rig.reports == []


def test_blocks_come_from_the_previous_owner_and_the_groups_are_reported(rig: Rig) -> None:
    rig.peer(2).blocks = {(SINGLE, 0, "a"), (MIRROR, 0, "b"), (SINGLE, 1, "of another group")}
    rig.show(cluster_map([[1], [2]], [[2], [0]], epoch=5))
    rig.work()
    assert rig.node.blocks == {(SINGLE, 0, "a"), (MIRROR, 0, "b")}
    assert rig.reports == [(5, [0])]
    assert rig.worker.status() == {
        "blocks_taken": 2,
        "bytes_taken": 200,
        "groups_reported": 1,
        "groups_pending": 1,
        "given_up": 0,
    }


def test_the_second_owner_takes_only_blocks_that_have_a_second_copy(rig: Rig) -> None:
    rig.peer(2).blocks = {(SINGLE, 0, "a"), (MIRROR, 0, "b")}
    rig.show(cluster_map([[3, 1]], [[2, 0]]))
    rig.work()
    assert rig.node.blocks == {(MIRROR, 0, "b")}
    assert rig.reports == [(1, [0])]


def test_where_no_space_has_so_many_copies_nothing_is_asked(rig: Rig) -> None:
    rig.show(cluster_map([[3, 1]], [[2, 0]]), spaces=SPACES[:1])
    rig.work()
    assert rig.node.pulls == []
    assert rig.reports == [(1, [0])]


def test_all_previous_owners_of_a_group_are_read_before_it_is_reported(rig: Rig) -> None:
    rig.peer(2).blocks = {(SINGLE, 0, "a")}
    rig.peer(3).blocks = {(SINGLE, 0, "b")}
    rig.peer(3).failures = 1
    rig.show(cluster_map([[1, 4], [1, 4]], [[2, 3], [2, 0]]))
    rig.work()
    assert rig.reports == [(1, [1])]
    rig.work(for_s=2)
    assert rig.node.blocks == {(SINGLE, 0, "a"), (SINGLE, 0, "b")}
    assert rig.reports == [(1, [1]), (1, [0])]


def test_a_move_keeps_within_its_bandwidth() -> None:
    rig = Rig(WorkersConfig(move_mib_per_s=1, move_step_mib=1))
    rig.peer(2).block_bytes = rig.node.block_bytes = 1 << 20
    rig.peer(2).blocks = {(SINGLE, 0, f"{n:03}") for n in range(30)}
    rig.show(cluster_map([[1]], [[2]]))
    rig.work(for_s=10)
    assert 9 <= len(rig.node.blocks) <= 12
    rig.work(for_s=30)
    assert len(rig.node.blocks) == 30


def test_a_previous_owner_that_cannot_be_read_is_given_up(rig: Rig) -> None:
    rig.peer(2).failures = -1
    rig.show(cluster_map([[1]], [[2]]))
    rig.work(for_s=60)
    assert len(rig.node.pulls) == rig.pace.move_tries_max
    assert rig.reports[0] == (1, [0])
    assert rig.worker.status()["given_up"] == 1


def test_a_previous_owner_that_is_down_is_waited_for(rig: Rig) -> None:
    rig.peer(2).blocks = {(SINGLE, 0, "a")}
    rig.show(cluster_map([[1]], [[2]], states={2: NodeState.DOWN}))
    rig.work(for_s=20)
    assert rig.node.pulls == []
    rig.show(cluster_map([[1]], [[2]], epoch=2))
    rig.work(for_s=2)
    assert rig.node.blocks == {(SINGLE, 0, "a")}
    assert rig.reports[0] == (2, [0])


def test_a_previous_owner_that_stays_down_is_given_up(rig: Rig) -> None:
    rig.show(cluster_map([[1]], [[2]], states={2: NodeState.DOWN}))
    rig.work(for_s=rig.pace.move_wait_down_s - 5)
    assert rig.reports == []
    rig.work(for_s=10)
    assert rig.reports[0] == (1, [0])


def test_a_previous_owner_that_is_out_is_given_up_at_once(rig: Rig) -> None:
    rig.show(cluster_map([[1]], [[2]], states={2: NodeState.OUT}))
    rig.work()
    assert rig.node.pulls == []
    assert rig.reports == [(1, [0])]


def test_a_node_that_drains_is_read(rig: Rig) -> None:
    rig.peer(2).blocks = {(SINGLE, 0, "a")}
    rig.show(cluster_map([[1]], [[2]], states={2: NodeState.DRAINING}))
    rig.work()
    assert rig.node.blocks == {(SINGLE, 0, "a")}


def test_a_report_is_repeated_until_the_map_no_longer_names_the_previous_owner(rig: Rig) -> None:
    rig.show(cluster_map([[1]], [[2]]))
    rig.work(for_s=10)
    assert 3 <= len(rig.reports) <= 5
    rig.show(cluster_map([[1]], epoch=2))
    reported = len(rig.reports)
    rig.work(for_s=60)
    assert len(rig.reports) == reported
    assert len(rig.node.pulls) == 1


def test_a_report_that_is_refused_for_its_epoch_waits_for_the_newer_map(rig: Rig) -> None:
    rig.report_errors = [StaleEpoch(2, 1)]
    rig.show(cluster_map([[1]], [[2]]))
    rig.work()
    assert rig.reports == []
    rig.show(cluster_map([[1]], [[2]], epoch=2))
    rig.work(for_s=1)
    assert rig.reports == [(2, [0])]


def test_a_report_that_fails_is_made_again(rig: Rig) -> None:
    rig.report_errors = [Unavailable("no leader")]
    rig.show(cluster_map([[1]], [[2]]))
    with pytest.raises(Unavailable):
        rig.work()
    rig.work()
    assert rig.reports == [(1, [0])]


def test_a_changed_map_does_not_begin_a_walk_under_way_again() -> None:
    rig = Rig(WorkersConfig(move_mib_per_s=1, move_step_mib=1))
    rig.peer(2).block_bytes = rig.node.block_bytes = 1 << 20
    rig.peer(2).blocks = {(SINGLE, 0, f"{n:03}") for n in range(20)}
    rig.show(cluster_map([[1], [2]], [[2], [0]]))
    rig.work(for_s=5)
    rig.show(cluster_map([[1], [1]], [[2], [2]], epoch=2))
    rig.work(for_s=60)
    first = [cursor for _, groups, cursor, _ in rig.node.pulls if groups == {0}]
    assert first == list(range(20))
    assert rig.reports[0] == (2, [0])
    assert {group for _, groups in rig.reports for group in groups} == {0, 1}


def test_a_group_that_moves_a_second_time_is_read_again(rig: Rig) -> None:
    rig.show(cluster_map([[1]], [[2]]))
    rig.work()
    rig.show(cluster_map([[2]], epoch=2))
    rig.work()
    rig.peer(2).blocks = {(SINGLE, 0, "new")}
    rig.show(cluster_map([[1]], [[2]], epoch=3))
    rig.work()
    assert rig.node.blocks == {(SINGLE, 0, "new")}
    assert rig.reports[-1] == (3, [0])


def test_groups_that_were_split_are_read_under_their_new_numbers(rig: Rig) -> None:
    rig.peer(2).failures = 1
    rig.show(cluster_map([[1]], [[2]]))
    rig.work()
    rig.show(cluster_map([[1], [1]], [[2], [2]], epoch=2))
    rig.work(for_s=2)
    assert rig.node.pulls[-1][1] == {0, 1}
    assert rig.reports[0] == (2, [0, 1])


def test_a_chunk_comes_from_the_owner_that_left_and_from_no_other(rig: Rig) -> None:
    rig.peer(2).blocks = {(CUT, 0, "b"), (MIRROR, 0, "m")}
    rig.peer(3).blocks = {(CUT, 0, "c"), (SINGLE, 0, "s")}
    rig.peer(4).blocks = {(CUT, 0, "left"), (SINGLE, 0, "t")}
    rig.show(cluster_map([[1, 2, 3]], [[4, 2, 3]]), spaces=WITH_CUT)
    rig.work(for_s=1)
    mirrored = {(MIRROR, 0, "m"), (SINGLE, 0, "s"), (SINGLE, 0, "t")}
    assert rig.node.blocks == {(CUT, 0, "left"), *mirrored}
    assert [address for address, _, _, spaces in rig.node.pulls if CUT in spaces] == ["node-4:1"]
    assert rig.reports == [(1, [0])]


def test_an_owner_that_only_went_to_another_place_takes_no_chunk(rig: Rig) -> None:
    rig.peer(2).blocks = {(CUT, 0, "b"), (MIRROR, 0, "m")}
    rig.peer(4).blocks = {(CUT, 0, "left")}
    rig.show(cluster_map([[1, 2, 3]], [[2, 1, 4]]), spaces=WITH_CUT)
    rig.work(for_s=1)
    assert rig.node.blocks == {(MIRROR, 0, "m")}
    assert rig.reports == [(1, [0])]


def test_where_the_one_that_left_is_lost_no_chunk_is_taken_and_the_group_is_reported(
    rig: Rig,
) -> None:
    rig.peer(2).blocks = {(CUT, 0, "b")}
    rig.show(cluster_map([[2, 3, 1]], [[2, 3, 0]]), spaces=WITH_CUT[2:])
    rig.work(for_s=1)
    assert rig.node.pulls == []
    assert rig.reports == [(1, [0])]
