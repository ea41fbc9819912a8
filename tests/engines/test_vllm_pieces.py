"""Large moves in pieces, on a real cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from holdfast._segments import Segments
from holdfast.engines.counters import Counters
from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.link import Link
from holdfast.engines.settings import EngineSettings
from holdfast.engines.started import Started
from holdfast.engines.vllm.pieces import Pieces
from holdfast_kvstore.segments import Plane

pytestmark = pytest.mark.process
BLOCK = 4096
PER_PIECE = 4


@pytest.fixture
def door(reach: dict[str, Any], request: pytest.FixtureRequest) -> Iterator[Door]:
    link = Link(EngineSettings.of(reach), Counters())
    opened = link.open("pieces", Fingerprint({"test": request.node.name}), BLOCK)
    until = time.monotonic() + 30.0
    while not opened.ready:
        assert time.monotonic() < until
    yield opened
    link.close()


def starts(
    call: Callable[[list[bytes], Segments], Started], plane: Plane, pieces: int
) -> list[tuple[int, Callable[[], Started]]]:
    def start(first: int) -> Started:
        places = range(first, first + PER_PIECE)
        return call([f"k{place}".encode() for place in places], Segments.paged([plane], places))

    return [
        (PER_PIECE, lambda first=first: start(first))  # type: ignore[misc]
        for first in range(0, pieces * PER_PIECE, PER_PIECE)
    ]


def test_all_pieces_come_and_go_without_anybody_looking(door: Door) -> None:
    written = np.random.default_rng(7).integers(0, 256, 24 * BLOCK).astype(np.uint8)
    region = door.register(written)
    saved = Pieces(starts(door.put, Plane(region, 0, BLOCK, BLOCK), 6))
    until = time.monotonic() + 30.0
    while not saved.done():
        assert time.monotonic() < until
    assert saved.outcome().good.all() and len(saved.outcome().good) == 24
    read = np.zeros(24 * BLOCK, np.uint8)
    loaded = Pieces(starts(door.get, Plane(door.register(read), 0, BLOCK, BLOCK), 6)).outcome()
    assert loaded.good.all() and loaded.prefix == 24
    assert np.array_equal(read, written)


def test_the_first_piece_that_fails_ends_it(door: Door) -> None:
    memory = np.zeros(24 * BLOCK, np.uint8)
    plane = Plane(door.register(memory), 0, BLOCK, BLOCK)
    assert Pieces(starts(door.put, plane, 2)).outcome().good.all()
    outcome = Pieces(starts(door.get, plane, 6)).outcome()
    assert outcome.prefix == 8
    tried = outcome.reasons["absent"]
    assert tried in (4, 8) and outcome.reasons["not_tried"] == 16 - tried


def test_cancelled_pieces_begin_no_more(door: Door) -> None:
    memory = np.zeros(24 * BLOCK, np.uint8)
    moving = Pieces(starts(door.put, Plane(door.register(memory), 0, BLOCK, BLOCK), 6))
    moving.cancel()
    outcome = moving.outcome()
    assert moving.done() and outcome.reasons.get("not_tried", 0) + len(outcome.good) >= 24
