"""Calls are paused while nobody answers, and said once."""

from __future__ import annotations

import logging

import pytest

from holdfast.engines.counters import Counters
from holdfast.engines.health import PAUSE_S_MAX, PAUSE_S_MIN, SILENT_CALLS, Health
from tests.engines.standing_clock import Clock

LOG = logging.getLogger("tests.engines.health")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def health(counters: Counters, clock: Clock) -> Health:
    return Health(counters, LOG, clock)


def fail(health: Health, times: int = SILENT_CALLS) -> None:
    for _ in range(times):
        health.bad("timed_out")


def test_a_few_silent_calls_are_no_outage(health: Health, counters: Counters) -> None:
    fail(health, SILENT_CALLS - 1)
    assert health.allows()
    assert not health.failing
    health.good()
    fail(health, SILENT_CALLS - 1)
    assert health.allows()
    assert counters.total("outages") == 0


def test_one_certain_failure_is_enough(health: Health) -> None:
    health.bad("unavailable", certain=True)
    assert health.failing
    assert not health.allows()


def test_one_call_is_let_through_after_each_pause_and_pauses_grow(
    health: Health, clock: Clock
) -> None:
    fail(health)
    pause = PAUSE_S_MIN
    for _ in range(10):
        clock.now += pause * 0.99
        assert not health.allows()
        clock.now += pause * 0.02
        assert health.allows()
        assert not health.allows()
        health.bad("timed_out")
        pause = min(pause * 2, PAUSE_S_MAX)
    assert pause == PAUSE_S_MAX


def test_a_call_that_is_let_through_and_never_ends_does_not_end_the_attempts(
    health: Health, clock: Clock
) -> None:
    fail(health)
    for _ in range(3):
        clock.now += PAUSE_S_MIN
        assert health.allows()


def test_calls_that_end_late_do_not_make_a_pause_longer(health: Health, clock: Clock) -> None:
    fail(health)
    fail(health, 20)  # they were under way when the outage was noticed
    clock.now += 2 * PAUSE_S_MIN
    assert health.allows()


def test_an_outage_is_said_once_at_its_start_and_once_at_its_end(
    health: Health, counters: Counters, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    counters.add("load_blocks_good", 42)
    with caplog.at_level(logging.INFO, LOG.name):
        for _ in range(3):
            fail(health)
            clock.now += PAUSE_S_MAX
        assert len(caplog.records) == 1
        assert "timed_out" in caplog.text
        assert "42" in caplog.text
        health.good()
        health.good()
        assert len(caplog.records) == 2
        assert health.allows()
    assert counters.total("outages") == 1


def test_the_next_outage_begins_with_the_shortest_pause(health: Health, clock: Clock) -> None:
    fail(health)
    for _ in range(6):
        clock.now += PAUSE_S_MAX
        assert health.allows()
        health.bad("timed_out")
    health.good()
    fail(health)
    assert not health.allows()
    clock.now += PAUSE_S_MIN
    assert health.allows()
