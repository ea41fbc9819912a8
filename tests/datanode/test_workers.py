from __future__ import annotations

from typing import ClassVar

import pytest

from holdfast_datanode.view import View
from holdfast_datanode.workers import (
    Budget,
    ExpireWorker,
    ReleaseWorker,
    Worker,
    WorkerState,
    WorkerThread,
)
from holdfast_kvstore.map_codec import encode_map
from holdfast_proto import meta_pb2
from tests.datanode.maps import cluster_map
from tests.datanode.native_twin import NodeTwin
from tests.datanode.waiting import DEADLINE_S, wait_for


class CountingWorker(Worker):
    """Counts its steps; fails those that it is told to."""

    name: ClassVar[str] = "counting"

    def __init__(self, rest_s: float | None, failures: int = 0) -> None:
        super().__init__()
        self.rest_s = rest_s
        self.failures = failures
        self.steps = 0

    def work(self) -> float | None:
        if self.failures:
            self.failures -= 1
            raise ValueError("told to fail")
        self.steps += 1
        return self.rest_s

    def status(self) -> dict[str, int]:
        return {"steps": self.steps}


def test_a_worker_steps_until_it_rests_and_goes_on_when_woken() -> None:
    worker = CountingWorker(rest_s=None)
    thread = WorkerThread(worker)
    thread.start()
    wait_for(lambda: worker.steps == 1 and thread.status().state is WorkerState.WAITING)
    worker.wake()
    wait_for(lambda: worker.steps == 2)
    assert thread.stop(DEADLINE_S)
    assert thread.status().state is WorkerState.STOPPED


def test_a_paused_worker_begins_no_step_until_it_is_resumed() -> None:
    worker = CountingWorker(rest_s=0.001)
    thread = WorkerThread(worker)
    thread.start()
    wait_for(lambda: worker.steps > 3)
    thread.pause()
    wait_for(lambda: thread.status().state is WorkerState.PAUSED)
    before = worker.steps
    worker.wake()
    wait_for(lambda: thread.status().state is WorkerState.PAUSED)
    assert worker.steps == before
    thread.resume()
    wait_for(lambda: worker.steps > before)
    assert thread.stop(DEADLINE_S)


def test_a_step_that_fails_is_counted_shown_and_tried_again() -> None:
    worker = CountingWorker(rest_s=None, failures=1)
    thread = WorkerThread(worker)
    thread.start()
    wait_for(lambda: thread.status().errors == 1)
    assert thread.status().last_error == "ValueError: told to fail"
    wait_for(lambda: worker.steps == 1)
    wait_for(lambda: thread.status().state is WorkerState.WAITING)
    assert thread.stop(DEADLINE_S)


def test_a_paused_worker_stops() -> None:
    thread = WorkerThread(CountingWorker(rest_s=None))
    thread.pause()
    thread.start()
    assert thread.stop(DEADLINE_S)


def test_a_budget_lets_a_burst_of_a_second_through_and_then_its_rate() -> None:
    now_s = 100.0
    budget = Budget(10, monotonic_s=lambda: now_s)
    assert budget.rest_s() == 0
    now_s = 105.0
    budget.spend(10)
    assert budget.rest_s() == pytest.approx(0)
    budget.spend(20)
    assert budget.rest_s() == pytest.approx(2)
    now_s = 107.0
    assert budget.rest_s() == pytest.approx(0)


def test_expired_blocks_are_swept_without_a_rest_while_there_are_some() -> None:
    worker = ExpireWorker(NodeTwin(expired=[1] * 100), interval_ms=500)
    assert [worker.work(), worker.work(), worker.work()] == [0, 0, 0.5]
    assert worker.status() == {"blocks_expired": 100}


def test_blocks_of_groups_that_went_elsewhere_are_dropped_after_a_while() -> None:
    now_s = 100.0
    node = NodeTwin(blocks={(7, group, "a") for group in range(4)})
    view = View(1, node)
    worker = ReleaseWorker(node, view, delay_ms=3_000, monotonic_s=lambda: now_s)
    assert worker.work() is None
    map_ = cluster_map([[1], [2], [2], [3]], [[0], [1], [0], [0]])
    view.apply(meta_pb2.NodeView(version=1, epoch=1, map=encode_map(map_)))
    assert worker.work() == 3
    assert len(node.blocks) == 4
    now_s += 3
    while worker.work() == 0:
        pass
    assert {group for _, group, _ in node.blocks} == {0, 1}
    # Once more after a while, for a put that was let in just before; then no more.
    assert worker.work() == 3
    now_s += 3
    assert worker.work() is None
    assert node.released == [{0, 1}, {0, 1}]
    now_s += 100
    assert worker.work() is None


def test_nothing_is_dropped_while_this_node_is_not_in_the_map() -> None:
    node = NodeTwin(blocks={(7, 0, "a")})
    view = View(9, node)
    view.apply(meta_pb2.NodeView(version=1, epoch=1, map=encode_map(cluster_map([[1]]))))
    assert ReleaseWorker(node, view, delay_ms=0).work() is None
    assert node.blocks
