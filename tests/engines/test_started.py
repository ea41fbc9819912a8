"""Calls under way that are looked at and never waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast._status import Status
from holdfast.engines.started import Outcome, Started, reason_of
from holdfast.errors import DeadlineExceeded, NotFound

WAIT_S = 20.0


def nothing_told(outcome: Outcome) -> None:
    """For calls whose end interests nobody."""


def test_what_could_not_start_has_ended_for_its_reason() -> None:
    told: list[Outcome] = []
    started = Started(None, 3, (Status.HIT,), told.append, "not_open")
    assert started.done()
    assert told == []
    outcome = started.outcome()
    assert outcome.good.tolist() == [False, False, False]
    assert outcome.reasons == {"not_open": 3}
    assert started.outcome() is outcome
    assert told == [outcome]
    started.cancel()
    assert started.outcome() is outcome


def test_word_of_what_could_not_start_comes_at_once() -> None:
    called: list[int] = []
    Started(None, 1, (), nothing_told, "outage").when_done(lambda: called.append(1))
    assert called == [1]


@pytest.mark.parametrize(
    ("good", "prefix"), [([], 0), ([True, True], 2), ([True, False, True], 1), ([False], 0)]
)
def test_a_prefix_ends_before_the_first_that_is_not_good(good: list[bool], prefix: int) -> None:
    assert Outcome(np.array(good, dtype=np.bool_), {}, 0.0).prefix == prefix


def test_reasons_are_named_like_their_errors() -> None:
    assert reason_of(DeadlineExceeded("late")) == "deadline_exceeded"
    assert reason_of(NotFound("gone")) == "not_found"


def begun(pending: Any, keys: int) -> Started:
    """A call under way, whatever it answers."""
    return Started(pending, keys, (Status.HIT,), nothing_told)


@pytest.fixture(scope="module")
def space(engine_cluster: holdfast.LocalCluster) -> Iterator[holdfast.Space]:
    with engine_cluster.connect() as cluster:
        yield cluster.space("started", block_bytes=512, create=True)


@pytest.mark.process
def test_a_call_is_told_once_and_only_when_it_is_looked_at(space: holdfast.Space) -> None:
    told: list[Outcome] = []
    region = space.allocate(2 * 512)
    pending: Any = space.futures.put([b"one", b"two"], region.blocks())
    started = Started(pending, 2, (Status.STORED, Status.PRESENT), told.append)
    heard = Event()
    started.when_done(heard.set)
    assert heard.wait(WAIT_S)
    assert started.done()
    assert told == []
    assert started.outcome().good.all()
    assert started.outcome().prefix == 2
    assert len(told) == 1
    assert started.keys == 2


@pytest.mark.process
def test_only_what_counts_as_good_is_good(space: holdfast.Space) -> None:
    region = space.allocate(512)
    space.put([b"there"], region.blocks())
    keys = [b"there", b"not there"]
    found = begun(space.futures.exists(keys), 2).outcome()
    assert found.good.tolist() == [True, False]
    assert dict(found.reasons) == {"absent": 1}


@pytest.mark.process
@pytest.mark.parametrize("ask", [lambda started: None, lambda started: started.outcome()])
def test_word_of_the_end_comes_before_and_after_it(
    space: holdfast.Space, ask: Callable[[Started], Any]
) -> None:
    heard = Event()
    started = begun(space.futures.exists([b"any"]), 1)
    ask(started)
    started.when_done(heard.set)
    assert heard.wait(WAIT_S)
    assert started.done()


@pytest.mark.process
def test_a_cancelled_call_has_ended(space: holdfast.Space) -> None:
    started = begun(space.futures.exists([b"any"]), 1)
    started.cancel()
    assert started.done()
    started.cancel()
    assert len(started.outcome().good) == 1


@pytest.mark.process
def test_asking_whether_it_has_ended_moves_no_bytes(engine_cluster: holdfast.LocalCluster) -> None:
    block_bytes, blocks = 1 << 20, 64
    with engine_cluster.connect(transport="tcp") as cluster:
        space = cluster.space("unmoved", block_bytes=block_bytes, create=True)
        region = space.allocate(block_bytes * blocks)
        np.frombuffer(region.memory, np.uint8)[:] = 1
        keys = [f"block {number}".encode() for number in range(blocks)]
        pause, end = Event(), time.monotonic() + WAIT_S
        pending: Any = space.futures.put(keys, region.blocks())
        started = Started(pending, blocks, (), nothing_told)
        spent_s = time.thread_time()
        while not started.done() and time.monotonic() < end:
            pause.wait(0.001)
        spent_s = time.thread_time() - spent_s
        outcome = started.outcome()
    assert outcome.seconds < WAIT_S
    # Sending 64 MiB takes 15 ms of a processor at the very least.
    assert spent_s < 0.01


@pytest.mark.process
def test_what_was_cancelled_fails_for_no_other_reason(space: holdfast.Space) -> None:
    region = space.allocate(8_192 * 512)
    for turn in range(10):
        keys = [b"cut off %d.%d" % (turn, number) for number in range(8_192)]
        pending: Any = space.futures.put(keys, region.blocks())
        started = Started(pending, len(keys), (Status.STORED, Status.PRESENT), nothing_told)
        started.cancel()
        outcome = started.outcome()
        assert dict(outcome.reasons) in ({}, {"cancelled": int((~outcome.good).sum())})
