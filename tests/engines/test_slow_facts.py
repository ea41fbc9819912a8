"""Facts that are found while an engine starts, and the spaces that wait for them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from holdfast.engines.counters import Counters
from holdfast.engines.fingerprint import Facts, Fingerprint
from holdfast.engines.link import Link
from holdfast.engines.opening import Opening
from holdfast.engines.settings import EngineSettings
from holdfast.engines.slow_facts import SlowFacts
from holdfast.errors import ConfigInvalid, NotFound

WAIT_S = 20.0


@pytest.fixture
def link(nowhere: dict[str, Any]) -> Iterator[Link]:
    """A link to no cluster."""
    made = Link(EngineSettings.of(nowhere), Counters(), logging.getLogger("tests.engines.slow"))
    yield made
    made.close()


def heard_of(facts: SlowFacts) -> list[Facts | None]:
    """What a listener is told, once it is."""
    told: list[Facts | None] = []
    heard = Event()

    def hear(found: Facts | None) -> None:
        told.append(found)
        heard.set()

    facts.when_known(hear)
    assert heard.wait(WAIT_S)
    return told


def test_a_space_is_named_by_all_facts_once_they_are_known(link: Link) -> None:
    found = Event()

    def find() -> Facts:
        assert found.wait(WAIT_S)
        return {"weights": "w"}

    slow = SlowFacts(link, find)
    early = Opening(link, "early", {"pool": "kv"}, slow, 8)
    assert early.door() is None
    found.set()
    assert heard_of(slow) == [{"weights": "w"}]
    late = Opening(link, "late", {"pool": "kv"}, slow, 8)
    for opening in (early, late):
        door = opening.door()
        assert door is not None
        assert door.fingerprint == Fingerprint({"pool": "kv", "weights": "w"})


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NotFound("no weight file in /models/lost"), "/models/lost; say where"),
        (OSError("unreadable"), "unreadable; say where the weights lie"),
        (ValueError("no JSON"), "weights_id"),
        (ConfigInvalid("set this"), "set this"),
        (AttributeError("the engine has no such part"), "no such part"),
    ],
)
def test_facts_that_cannot_be_found_are_said_and_nobody_waits_for_them(
    link: Link, caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    def missing() -> Facts:
        raise error

    slow = SlowFacts(link, missing)
    early = Opening(link, "early", {}, slow, 8)
    early.wait(WAIT_S)
    late = Opening(link, "late", {}, slow, 8)
    late.wait(WAIT_S)
    assert early.door() is late.door() is None
    assert heard_of(slow) == [None]
    assert link.counters.total("facts_missing") == 1
    (line,) = caplog.messages
    assert said in line
