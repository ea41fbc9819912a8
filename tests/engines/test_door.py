"""One space as an engine sees it: nothing waits, nothing raises, everything is counted."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.engines.counters import Counters
from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.link import Link
from holdfast.engines.settings import EngineSettings
from holdfast.errors import Closed
from holdfast.local_cluster.waiting import wait_for

pytestmark = pytest.mark.process

BLOCK_BYTES = 1024
WAIT_S = 20.0
_numbers = itertools.count()


@pytest.fixture
def link(reach: dict[str, Any]) -> Iterator[Link]:
    opened = Link(EngineSettings.of(reach), Counters(), logging.getLogger("tests.engines.door"))
    yield opened
    opened.close()


@pytest.fixture
def door(link: Link) -> Door:
    return open_door(link)


def open_door(link: Link) -> Door:
    """A door to an empty space, open."""
    facts = Fingerprint({"test": "door", "number": next(_numbers)})
    door = link.open("door", facts, BLOCK_BYTES)
    wait_for("opening of the space", lambda: door.ready, WAIT_S)
    return door


def rows(count: int, seed: int) -> np.ndarray[Any, Any]:
    """uint8[count, BLOCK_BYTES]: known contents."""
    return np.random.default_rng(seed).integers(0, 256, (count, BLOCK_BYTES), np.uint8)


def keys(count: int, first: int = 0) -> list[bytes]:
    """Names of blocks."""
    return [f"block-{number}".encode() for number in range(first, first + count)]


def test_what_is_put_is_found_and_read(door: Door, link: Link) -> None:
    data, place = rows(4, 1), np.zeros((4, BLOCK_BYTES), np.uint8)
    source, target = door.register(data), door.register(place)
    assert not door.exists(keys(4)).outcome().good.any()
    assert door.put(keys(3), source.blocks(indices=range(3)), 5).outcome().good.all()
    found = door.exists(keys(4)).outcome()
    assert found.good.tolist() == [True, True, True, False]
    assert found.prefix == 3
    read = door.get(keys(4), target.blocks()).outcome()
    assert read.good.tolist() == [True, True, True, False]
    assert np.array_equal(place[:3], data[:3])
    again = door.put(keys(4), source.blocks()).outcome()
    assert again.good.all()
    totals = link.counters.totals()
    assert totals["save_blocks_good"] == 7
    assert totals["load_blocks_good"] == 3
    assert totals["load_bad/absent"] == 1
    assert totals["lookup_blocks_bad"] == 5
    source.close()
    target.close()


def test_what_is_deleted_is_gone(door: Door) -> None:
    with door.register(rows(2, 2)) as source:
        door.put(keys(2), source.blocks()).outcome()
    assert door.delete(keys(3)).outcome().good.tolist() == [True, True, False]
    assert not door.exists(keys(2)).outcome().good.any()


def test_a_door_is_usable_before_its_space_is_open(reach: dict[str, Any]) -> None:
    nowhere = {**reach, "address": "127.0.0.1:9"}
    link = Link(EngineSettings.of(nowhere), Counters())
    door = link.open("door", Fingerprint({"test": "shut"}), BLOCK_BYTES)
    with door.register(rows(2, 3)) as region:
        for started in (
            door.exists(keys(2)),
            door.get(keys(2), region.blocks()),
            door.put(keys(2), region.blocks()),
        ):
            assert started.done()
            assert started.outcome().reasons == {"not_open": 2}
    assert link.counters.total("save_bad/not_open") == 2
    link.close()


def test_a_region_that_was_closed_is_a_call_that_failed(door: Door, link: Link) -> None:
    region = door.register(rows(2, 4))
    segments = region.blocks()
    region.close()
    outcome = door.put(keys(2), segments).outcome()
    assert not outcome.good.any()
    assert sum(outcome.reasons.values()) == 2
    with pytest.raises(Closed):
        region.blocks()
    assert door.exists(keys(2)).outcome().reasons == {"absent": 2}
    assert not link.health.failing


def test_memory_is_free_once_a_cancelled_call_has_returned(door: Door) -> None:
    data = rows(64, 5)
    region = door.register(data)
    started = door.put(keys(64), region.blocks())
    started.cancel()
    assert started.done()
    region.close()
    assert len(started.outcome().good) == 64


def test_segments_of_another_size_are_refused_without_an_error(door: Door) -> None:
    with door.register(rows(2, 6)) as region:
        outcome = door.put(keys(4), region.blocks(BLOCK_BYTES // 2)).outcome()
    assert outcome.reasons == {"invalid_argument": 4}


def test_word_that_the_space_is_open(link: Link) -> None:
    heard = Event()
    facts = Fingerprint({"test": "door", "number": next(_numbers)})
    door = link.open("door", facts, BLOCK_BYTES)
    door.when_settled(heard.set)
    assert heard.wait(WAIT_S)
    assert door.ready
    late = Event()
    door.when_settled(late.set)
    assert late.is_set()


def test_a_deleted_space_is_made_anew(
    door: Door, link: Link, engine_cluster: holdfast.LocalCluster
) -> None:
    with door.register(rows(3, 7)) as source:
        assert door.put(keys(3), source.blocks()).outcome().good.all()
    with engine_cluster.connect() as other:
        number = other.space(door.name).number
        other.delete_space(door.name)
        wait_for("loss of the blocks", lambda: not found(door, keys(3)).any(), WAIT_S)
        wait_for("an answer by a new space", lambda: usable(door), WAIT_S)
        made = other.space(door.name)
    assert made.number != number
    assert made.fingerprint == door.fingerprint.text
    assert not link.health.failing


def test_a_space_that_is_gone_while_nobody_asks(
    engine_cluster: holdfast.LocalCluster, link: Link
) -> None:
    doors = [open_door(link) for _ in range(2)]
    with engine_cluster.connect() as other:
        for door in doors:
            other.delete_space(door.name)
    for door in doors:
        wait_for("an answer by a new space", partial(usable, door), WAIT_S)


def found(door: Door, names: list[bytes]) -> np.ndarray[Any, Any]:
    """bool[names]: which are stored."""
    return door.exists(names).outcome().good


def usable(door: Door) -> bool:
    """Whether a block can be stored and is found then."""
    with door.register(rows(1, 8)) as source:
        kept = door.put([b"probe"], source.blocks()).outcome().good.all()
    return bool(kept and found(door, [b"probe"]).all())
