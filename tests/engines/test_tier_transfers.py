"""Jobs of the secondary tier: a bounded number of blocks at once, every job ends once."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from holdfast.engines.started import Outcome, Started
from holdfast.engines.vllm_tier.transfers import JobEnd, Piece, Transfers
from tests.engines.standing_clock import Clock

PATIENCE_S = 5.0


class Call:
    """A call that ends when it is told to."""

    def __init__(self, keys: int) -> None:
        self.good = np.ones(keys, np.bool_)
        self.ended = False
        self.waited_for = False

    def done(self) -> bool:
        return self.ended

    def outcome(self) -> Outcome:
        self.waited_for = not self.ended
        self.ended = True
        return Outcome(self.good, {}, 0.0)


class Cluster:
    """Notes what is started."""

    def __init__(self, parts: int = 1) -> None:
        self.parts = parts
        self.calls: list[list[Call]] = []

    def start(self, piece: Piece) -> list[Started]:
        self.calls.append([Call(len(piece.keys)) for _ in range(self.parts)])
        return [cast(Started, call) for call in self.calls[-1]]

    def end(self, number: int, bad: int | None = None) -> None:
        """Ends every part of the call with this number. bad: a place that fails in the last."""
        if bad is not None:
            self.calls[number][-1].good[bad] = False
        for call in self.calls[number]:
            call.ended = True

    @property
    def under_way(self) -> int:
        """Blocks whose calls have not ended."""
        return sum(len(calls[0].good) for calls in self.calls if not calls[0].ended)


Make = Callable[..., tuple[Transfers, Cluster, Clock]]


@pytest.fixture
def make() -> Make:
    def made(blocks_max: int = 4, parts: int = 1) -> tuple[Transfers, Cluster, Clock]:
        cluster, clock = Cluster(parts), Clock(0.0)
        return Transfers(cluster.start, blocks_max, PATIENCE_S, clock), cluster, clock

    return made


def piece(first: int, count: int) -> Piece:
    keys = [bytes([number]) for number in range(first, first + count)]
    return Piece(keys, np.arange(first, first + count))


def test_a_job_ends_when_all_of_its_pieces_have(make: Make) -> None:
    transfers, cluster, clock = make()
    transfers.add(7, [piece(0, 2), piece(2, 1)])
    assert transfers.poll() == ([], 0)
    cluster.end(1)
    assert transfers.poll() == ([], 0)
    clock.now = 3.0
    cluster.end(0)
    assert transfers.poll() == ([JobEnd(7, (b"\2", b"\0", b"\1"), (), 3.0)], 0)
    assert transfers.poll() == ([], 0)
    assert transfers.idle


def test_a_block_is_good_when_all_of_its_parts_are(make: Make) -> None:
    transfers, cluster, _ = make(parts=3)
    transfers.add(1, [piece(0, 3)])
    for call in cluster.calls[0][:2]:
        call.ended = True
    assert transfers.poll() == ([], 0)
    cluster.end(0, bad=1)
    ends, _ = transfers.poll()
    assert ends[0].good == (b"\0", b"\2")
    assert ends[0].bad == (b"\1",)


def test_what_does_not_fit_waits_for_its_turn(make: Make) -> None:
    transfers, cluster, _ = make(blocks_max=4)
    transfers.add(1, [piece(0, 3), piece(3, 3)])
    transfers.add(2, [piece(6, 1)])
    assert len(cluster.calls) == 1  # job 2 would fit, but it came later
    assert transfers.room == 1
    cluster.end(0)
    assert transfers.poll() == ([], 0)
    assert cluster.under_way == 4
    assert transfers.room == 0
    cluster.end(2)
    ends, _ = transfers.poll()
    assert [end.job for end in ends] == [2]
    cluster.end(1)
    ends, _ = transfers.poll()
    assert [end.job for end in ends] == [1]
    assert transfers.room == 4


def test_a_piece_larger_than_the_bound_goes_alone(make: Make) -> None:
    transfers, cluster, _ = make(blocks_max=2)
    transfers.add(1, [piece(0, 5)])
    transfers.add(2, [piece(5, 1)])
    assert cluster.under_way == 5
    cluster.end(0)
    transfers.poll()
    assert cluster.under_way == 1


def test_what_has_waited_for_too_long_is_given_up(make: Make) -> None:
    transfers, cluster, clock = make(blocks_max=2)
    transfers.add(1, [piece(0, 2), piece(2, 2)])
    clock.now = PATIENCE_S + 0.1
    assert transfers.poll() == ([], 2)
    cluster.end(0)
    ends, given_up = transfers.poll()
    assert given_up == 0
    assert ends[0].good == (b"\0", b"\1")
    assert ends[0].bad == (b"\2", b"\3")
    assert len(cluster.calls) == 1


def test_a_job_of_which_nothing_was_taken_ends_at_once(make: Make) -> None:
    transfers, _, _ = make()
    transfers.add(1, [], left_out=[b"x"])
    assert transfers.poll() == ([JobEnd(1, (), (b"x",), 0.0)], 0)


def test_a_drain_waits_for_what_is_under_way_and_starts_nothing(make: Make) -> None:
    transfers, cluster, _ = make(blocks_max=2)
    transfers.add(1, [piece(0, 2), piece(2, 2)])
    transfers.add(2, [piece(4, 1)])
    ends, given_up = transfers.drain()
    assert given_up == 3
    assert [(end.job, len(end.good), len(end.bad)) for end in ends] == [(1, 2, 2), (2, 0, 1)]
    assert len(cluster.calls) == 1
    assert cluster.calls[0][0].waited_for
    assert transfers.idle
    assert transfers.room == 2


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_every_job_ends_once_and_the_bound_holds(make: Make, seed: int) -> None:
    random = np.random.default_rng(seed)
    transfers, cluster, clock = make(blocks_max=6)
    submitted: dict[int, int] = {}
    ended: dict[int, int] = {}

    def note(found: tuple[list[JobEnd], int]) -> None:
        for end in found[0]:
            assert end.job not in ended
            ended[end.job] = len(end.good) + len(end.bad)

    for number in range(200):
        pieces = [piece(0, int(random.integers(1, 4))) for _ in range(random.integers(0, 4))]
        submitted[number] = sum(len(each.keys) for each in pieces)
        transfers.add(number, pieces)
        assert cluster.under_way <= 6, f"seed {seed}"
        open_calls = [place for place, calls in enumerate(cluster.calls) if not calls[0].ended]
        for place in open_calls:
            if random.random() < 0.5:
                cluster.end(place, bad=0 if random.random() < 0.2 else None)
        clock.now += float(random.random())
        note(transfers.poll())
    note(transfers.drain())
    assert ended == submitted, f"seed {seed}"
