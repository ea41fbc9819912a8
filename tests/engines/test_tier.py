"""The secondary tier against a real cluster, driven as an engine's scheduler drives it."""

from __future__ import annotations

import itertools
import logging
import mmap
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import holdfast
from holdfast.engines.counters import Counters
from holdfast.engines.link import Link
from holdfast.engines.opening import Opening
from holdfast.engines.slow_facts import SlowFacts
from holdfast.engines.vllm_tier.answers import Answer
from holdfast.engines.vllm_tier.rows import Rows, RowShape
from holdfast.engines.vllm_tier.settings import TierSettings
from holdfast.engines.vllm_tier.tier import Tier
from holdfast.engines.vllm_tier.transfers import JobEnd
from holdfast.local_cluster.waiting import wait_for
from tests.engines.conftest import reach_of

LOG = logging.getLogger("tests.engines.tier")
SHAPE = RowShape(row_bytes=8192, used_bytes=5000)
WAIT_S = 30.0
SOON_S = 3.0
"""Longest time of what must not wait for the cluster."""
_numbers = itertools.count()


class Scheduler:
    """Stands in for the engine: rows of memory that both sides map, requests, steps and jobs."""

    def __init__(
        self,
        settings: dict[str, Any],
        model: str,
        *,
        rows: int = 32,
        shape: RowShape = SHAPE,
    ) -> None:
        self.mapped = mmap.mmap(-1, rows * shape.row_bytes)
        self.memory = np.frombuffer(self.mapped, np.uint8).reshape(rows, shape.row_bytes)
        parsed = TierSettings.of({"start_wait_ms": 30_000, **settings})
        self.link = Link(parsed, Counters(), LOG)
        slow = SlowFacts(self.link, lambda: {"weights": model})
        opening = Opening(self.link, "tier", {"test": "tier"}, slow, shape.part_bytes)
        view: Any = self.memory
        self.tier = Tier(parsed, self.link, Rows(memoryview(view), shape, 5.0), opening.door)
        self.opening = opening
        self._jobs = itertools.count()

    def look(self, names: list[bytes], request: str = "request") -> list[Answer]:
        """Looks keys up, step by step, until nothing is to be told later."""
        self.tier.request_began(request)

        def answered() -> list[Answer] | None:
            found = [self.tier.lookup(name, request) for name in names]
            self.tier.end_step()
            return None if Answer.LATER in found else found

        found = wait_for("answers", answered, WAIT_S)
        self.tier.request_ended(request)
        return found

    def save(self, names: list[bytes], rows: npt.ArrayLike) -> JobEnd:
        """Stores rows and waits for the end of the job."""
        self.wait_until_open()
        return self.end_of(self.start_save(names, rows))

    def start_save(self, names: list[bytes], rows: npt.ArrayLike) -> int:
        job = next(self._jobs)
        groups = [int.from_bytes(name[-4:], "big") for name in names]
        positions = [int(name[:4]) for name in names]
        self.tier.save(job, names, rows, groups, positions)
        return job

    def load(self, names: list[bytes], rows: npt.ArrayLike) -> JobEnd:
        """Loads into rows and waits for the end of the job."""
        self.wait_until_open()
        return self.end_of(self.start_load(names, rows))

    def start_load(self, names: list[bytes], rows: npt.ArrayLike) -> int:
        job = next(self._jobs)
        self.tier.load(job, names, rows)
        return job

    def end_of(self, job: int) -> JobEnd:
        ends: list[JobEnd] = []

        def ended() -> bool:
            ends.extend(self.tier.finished())
            return bool(ends)

        wait_for(f"end of job {job}", ended, WAIT_S)
        assert [end.job for end in ends] == [job]
        return ends[0]

    def wait_until_open(self) -> None:
        def is_open() -> bool:
            door = self.opening.door()
            return door is not None and door.ready

        wait_for("opening of the space", is_open, WAIT_S)

    def counted(self, name: str) -> float:
        return self.link.counters.total(name)

    def close(self) -> None:
        """Ends the tier, and then the memory, which nobody may hold any more."""
        self.tier.close()
        del self.memory
        self.mapped.close()


Start = Callable[..., Scheduler]


@pytest.fixture
def start(reach: dict[str, Any]) -> Iterator[Start]:
    """Starts engines of one model, each with its own memory, and ends them."""
    model = f"model-{next(_numbers)}"
    started: list[Scheduler] = []

    def begin(settings: dict[str, Any] | None = None, **options: Any) -> Scheduler:
        chosen = {"model": model, **options}
        started.append(Scheduler({**reach, **(settings or {})}, **chosen))
        return started[-1]

    yield begin
    for scheduler in started:
        scheduler.close()


def keys(count: int, first: int = 0, group: int = 0) -> list[bytes]:
    """Names of blocks that follow each other in one group: position, then the group."""
    return [
        b"%04d" % position + b"hash" * 7 + group.to_bytes(4, "big")
        for position in range(first, first + count)
    ]


def fill(scheduler: Scheduler, seed: int) -> npt.NDArray[np.uint8]:
    """Writes known bytes over all rows; answers a copy."""
    random = np.random.default_rng(seed)
    scheduler.memory[:] = random.integers(0, 256, scheduler.memory.shape, np.uint8)
    return scheduler.memory.copy()


# ---------------------------------------------------------------------------- store and load


@pytest.mark.process
@pytest.mark.parametrize("transport", ["tcp", "shm"])
def test_what_one_engine_stores_a_fresh_one_loads(start: Start, transport: str) -> None:
    first = start({"transport": transport})
    data = fill(first, 1)
    names = keys(5) + keys(3, group=1)
    where = [9, 3, 4, 30, 0, 7, 8, 31]
    assert not first.save(names, where).bad

    second = start({"transport": transport})
    assert second.look([*names, *keys(1, first=5)]) == [Answer.HIT] * 8 + [Answer.MISS]
    before = fill(second, 2)
    into = [1, 2, 3, 4, 5, 20, 21, 22]
    end = second.load(names, into)
    assert set(end.good) == set(names)
    used = SHAPE.used_bytes
    assert np.array_equal(second.memory[into, :used], data[where, :used])
    # What lies behind the used bytes of a row, and other rows, are nobody's business.
    assert np.array_equal(second.memory[into, used:], before[into, used:])
    others = [row for row in range(32) if row not in into]
    assert np.array_equal(second.memory[others], before[others])
    assert second.counted("load_bytes") == 8 * used


@pytest.mark.process
def test_groups_do_not_mix(start: Start) -> None:
    scheduler = start()
    data = fill(scheduler, 3)
    scheduler.save(keys(1, group=0) + keys(1, group=256), [0, 1])
    assert not scheduler.load(keys(1, group=256) + keys(1, group=0), [2, 3]).bad
    used = SHAPE.used_bytes
    assert np.array_equal(scheduler.memory[2:4, :used], data[[1, 0], :used])
    assert scheduler.look(keys(1, group=1)) == [Answer.MISS]


@pytest.mark.process
def test_a_row_larger_than_a_block_may_be_travels_in_parts(start: Start) -> None:
    shape = RowShape(row_bytes=17 << 20, used_bytes=(17 << 20) - 4000)
    assert shape.parts == 2
    first = start(shape=shape, rows=4)
    data = fill(first, 4)
    assert not first.save(keys(2), [3, 0]).bad
    second = start(shape=shape, rows=2)
    assert second.look(keys(3)) == [Answer.HIT, Answer.HIT, Answer.MISS]
    assert not second.load(keys(2), [0, 1]).bad
    used = shape.used_bytes
    assert np.array_equal(second.memory[:, :used], data[[3, 0], :used])


@pytest.mark.process
def test_other_weights_share_nothing(start: Start) -> None:
    first = start()
    first.save(keys(2), [0, 1])
    assert start(model=f"model-{next(_numbers)}").look(keys(2)) == [Answer.MISS] * 2
    assert start().look(keys(2)) == [Answer.HIT] * 2


# ---------------------------------------------------------------------------- lookups


@pytest.mark.process
def test_a_lookup_answers_later_until_the_cluster_has(start: Start) -> None:
    scheduler = start()
    scheduler.wait_until_open()
    scheduler.tier.request_began("a")
    assert [scheduler.tier.lookup(key, "a") for key in keys(3)] == [Answer.LATER] * 3
    scheduler.tier.end_step()
    assert scheduler.look(keys(3), "a") == [Answer.MISS] * 3
    # A key that is known is not asked for again.
    assert scheduler.counted("lookup_bad/absent") == 3


@pytest.mark.process
def test_what_was_stored_since_is_found_by_the_next_request(start: Start) -> None:
    scheduler = start()
    assert scheduler.look(keys(1)) == [Answer.MISS]
    scheduler.save(keys(1), [0])
    assert scheduler.look(keys(1)) == [Answer.HIT]


@pytest.mark.process
def test_what_another_engine_stored_is_found_when_answers_are_old(start: Start) -> None:
    scheduler = start({"lookup_life_ms": 1})
    assert scheduler.look(keys(1)) == [Answer.MISS]
    start().save(keys(1), [0])
    wait_for("a hit", lambda: scheduler.look(keys(1)) == [Answer.HIT], WAIT_S)


@pytest.mark.process
def test_a_block_that_was_lost_is_a_miss_and_not_offered_again(start: Start) -> None:
    scheduler = start()
    scheduler.save(keys(3), [0, 1, 2])
    scheduler.tier.request_began("a")
    assert scheduler.look(keys(3), "b") == [Answer.HIT] * 3
    door = scheduler.opening.door()
    assert door is not None
    door.delete([keys(3)[1]]).outcome()
    end = scheduler.load(keys(3), [3, 4, 5])
    assert end.good == (keys(3)[0], keys(3)[2])
    assert end.bad == (keys(3)[1],)
    for _ in range(3):
        assert scheduler.look(keys(3), "a") == [Answer.HIT, Answer.MISS, Answer.HIT]


@pytest.mark.process
def test_more_keys_than_may_be_remembered_are_misses(start: Start) -> None:
    scheduler = start({"lookup_keys_max": 1024})
    scheduler.wait_until_open()
    found = scheduler.look(keys(1030))
    assert found == [Answer.MISS] * 1030
    assert scheduler.counted("lookup_bad/no_room") >= 6
    assert scheduler.counted("lookup_bad/absent") == 1024


# ---------------------------------------------------------------------------- bounds


@pytest.mark.process
def test_what_does_not_fit_is_dropped_from_the_tail_of_the_prefix(start: Start) -> None:
    # Half of 32 rows may be on their way at once.
    scheduler = start()
    scheduler.wait_until_open()
    names = keys(30)
    shuffled = [names[place] for place in np.random.default_rng(5).permutation(30)]
    end = scheduler.end_of(scheduler.start_save(shuffled, range(30)))
    fits = 32 * SHAPE.row_bytes // 2 // SHAPE.used_bytes
    assert set(end.good) == set(names[:fits])
    assert set(end.bad) == set(names[fits:])
    assert scheduler.counted("save_bad/no_room") == 30 - fits
    assert scheduler.look(names) == [Answer.HIT] * fits + [Answer.MISS] * (30 - fits)


@pytest.mark.process
def test_loads_beyond_the_bound_wait_for_their_turn(start: Start) -> None:
    shape = RowShape(row_bytes=1 << 18, used_bytes=1 << 18)
    settings = {"load_bytes_max": 1 << 20, "save_bytes_max": 1 << 30}
    scheduler = start(settings, rows=64, shape=shape)
    data = fill(scheduler, 6)
    for first in range(0, 32, 8):
        assert not scheduler.save(keys(8, first), range(first, first + 8)).bad
    scheduler.memory[:] = 0
    assert not scheduler.load(keys(32), range(32)).bad
    assert np.array_equal(scheduler.memory[:32], data[:32])


# ---------------------------------------------------------------------------- resets


@pytest.mark.process
def test_after_a_reset_nothing_old_is_found(start: Start) -> None:
    scheduler = start()
    data = fill(scheduler, 7)
    scheduler.save(keys(2), [0, 1])
    job = scheduler.start_save(keys(1, first=2), [2])
    scheduler.tier.drain()
    assert scheduler.end_of(job).good == (keys(1, first=2)[0],)
    assert scheduler.look(keys(3)) == [Answer.MISS] * 3
    # Other weights now: what is stored from here on is this engine's own.
    data = fill(scheduler, 8)
    scheduler.save(keys(2), [4, 5])
    assert scheduler.look(keys(2)) == [Answer.HIT] * 2
    assert not scheduler.load(keys(2), [0, 1]).bad
    used = SHAPE.used_bytes
    assert np.array_equal(scheduler.memory[:2, :used], data[4:6, :used])
    fresh = start()
    fresh.load(keys(2), [0, 1])
    assert not np.array_equal(fresh.memory[:2, :used], data[4:6, :used])


@pytest.mark.process
def test_blocks_outlive_a_reset_where_weights_never_change(start: Start) -> None:
    scheduler = start({"keep_on_reset": True})
    scheduler.save(keys(2), [0, 1])
    scheduler.tier.drain()
    assert scheduler.look(keys(2)) == [Answer.HIT] * 2


@pytest.mark.process
def test_a_drain_tells_of_every_job_and_leaves_the_memory_alone(start: Start) -> None:
    scheduler = start()
    fill(scheduler, 9)
    scheduler.save(keys(8), range(8))
    jobs = [scheduler.start_load(keys(8), range(first, first + 8)) for first in (8, 16, 24)]
    scheduler.tier.drain()
    scheduler.memory[:] = 1
    ends = scheduler.tier.finished()
    assert [end.job for end in ends] == jobs
    assert all(len(end.good) + len(end.bad) == 8 for end in ends)
    assert scheduler.tier.finished() == []
    assert (scheduler.memory == 1).all()


# ---------------------------------------------------------------------------- no cluster


def test_without_a_cluster_nothing_waits_and_nothing_raises(start_alone: Start) -> None:
    scheduler = start_alone({"start_wait_ms": 0})
    began = time.monotonic()
    assert scheduler.look(keys(4)) == [Answer.MISS] * 4
    assert scheduler.end_of(scheduler.start_save(keys(4), range(4))).bad == tuple(keys(4))
    assert scheduler.end_of(scheduler.start_load(keys(4), range(4))).bad == tuple(keys(4))
    scheduler.tier.drain()
    assert time.monotonic() - began < SOON_S
    assert scheduler.counted("lookup_bad/not_open") >= 4


def test_first_requests_wait_for_the_space_for_a_bounded_time(start_alone: Start) -> None:
    scheduler = start_alone({"start_wait_ms": 300})
    scheduler.tier.request_began("a")
    assert scheduler.tier.lookup(keys(1)[0], "a") is Answer.LATER
    assert scheduler.look(keys(1), "a") == [Answer.MISS]
    assert scheduler.look(keys(1), "b") == [Answer.MISS]


@pytest.fixture
def start_alone(nowhere: dict[str, Any]) -> Iterator[Start]:
    """Starts engines whose cluster is not there."""
    started: list[Scheduler] = []

    def begin(settings: dict[str, Any], **options: Any) -> Scheduler:
        started.append(Scheduler({**nowhere, **settings}, "model", **options))
        return started[-1]

    yield begin
    for scheduler in started:
        scheduler.close()


@pytest.mark.process
def test_a_node_that_stands_still_costs_a_deadline_and_then_nothing() -> None:
    with holdfast.local(arena_mib=32) as own:
        settings = {
            **reach_of(own),
            "lookup_deadline_ms": 200,
            "load_deadline_ms": 300,
            "save_deadline_ms": 300,
            "lookup_life_ms": 1,
            "keep_on_reset": True,
        }
        scheduler = Scheduler(settings, "model")
        scheduler.save(keys(4), range(4))
        own.data_nodes[0].pause()
        began = time.monotonic()
        assert scheduler.load(keys(4), range(4, 8)).bad == tuple(keys(4))
        scheduler.start_save(keys(4, first=4), range(8, 12))
        scheduler.tier.drain()
        assert len(scheduler.tier.finished()) == 1
        assert time.monotonic() - began < 5.0

        def paused() -> bool:
            scheduler.look(keys(2))
            return scheduler.link.health.failing

        wait_for("a pause", paused, WAIT_S)
        own.data_nodes[0].resume()
        wait_for("hits", lambda: scheduler.look(keys(4)) == [Answer.HIT] * 4, WAIT_S)
        assert not scheduler.load(keys(4), range(4, 8)).bad
        scheduler.close()
