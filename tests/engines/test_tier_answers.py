"""What the secondary tier remembers of the cluster's answers."""

from __future__ import annotations

import pytest

from holdfast.engines.vllm_tier.answers import Answer, Answers
from tests.engines.standing_clock import Clock

LIFE_S = 5.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answers(clock: Clock) -> Answers:
    return Answers(8, LIFE_S, clock)


def ask(answers: Answers, clock: Clock, key: bytes, found: bool, firm: bool = True) -> None:
    """A key is looked up, asked for and answered."""
    assert answers.look(key, clock.now) is Answer.LATER
    assert answers.take_unasked() == [key]
    answers.settle([key], [found], firm)


def test_a_key_is_asked_for_once_and_then_known(answers: Answers, clock: Clock) -> None:
    assert answers.look(b"a", clock.now) is Answer.LATER
    assert answers.look(b"a", clock.now) is Answer.LATER
    assert answers.look(b"b", clock.now) is Answer.LATER
    assert answers.take_unasked() == [b"a", b"b"]
    assert answers.look(b"a", clock.now) is Answer.LATER
    assert answers.take_unasked() == []
    answers.settle([b"a", b"b"], [True, False], firm=True)
    assert answers.look(b"a", clock.now) is Answer.HIT
    assert answers.look(b"b", clock.now) is Answer.MISS
    assert answers.take_unasked() == []


@pytest.mark.parametrize("found", [True, False])
def test_an_answer_holds_for_ever_for_who_was_there_and_a_while_for_others(
    answers: Answers, clock: Clock, found: bool
) -> None:
    expected = Answer.HIT if found else Answer.MISS
    there = clock.now
    ask(answers, clock, b"a", found)
    clock.now += LIFE_S
    assert answers.look(b"a", clock.now) is expected
    clock.now += 100 * LIFE_S
    assert answers.look(b"a", there) is expected
    assert answers.look(b"a", clock.now) is Answer.LATER
    # The request that was there gets the newer answer, too.
    answers.settle(answers.take_unasked(), [not found], firm=True)
    assert answers.look(b"a", there) is not expected


def test_silence_is_a_miss_for_who_was_there_only(answers: Answers, clock: Clock) -> None:
    there = clock.now
    ask(answers, clock, b"a", False, firm=False)
    assert answers.look(b"a", there) is Answer.MISS
    clock.now += 0.001
    assert answers.look(b"a", clock.now) is Answer.LATER


def test_what_was_found_beside_silence_is_known(answers: Answers, clock: Clock) -> None:
    ask(answers, clock, b"a", True, firm=False)
    clock.now += LIFE_S / 2
    assert answers.look(b"a", clock.now) is Answer.HIT


def test_what_could_not_be_loaded_is_not_offered_again(answers: Answers, clock: Clock) -> None:
    there = clock.now
    ask(answers, clock, b"a", True)
    clock.now += 1
    answers.deny([b"a", b"never looked up"])
    for _ in range(3):
        assert answers.look(b"a", there) is Answer.MISS
        clock.now += 10 * LIFE_S
    assert answers.look(b"never looked up", there) is Answer.MISS
    assert answers.look(b"a", clock.now) is Answer.LATER


def test_an_answer_that_was_under_way_does_not_offer_it_again(
    answers: Answers, clock: Clock
) -> None:
    there = clock.now
    assert answers.look(b"a", there) is Answer.LATER
    answers.take_unasked()
    answers.deny([b"a"])
    answers.settle([b"a"], [True], firm=True)
    assert answers.look(b"a", there) is Answer.MISS


def test_what_was_stored_is_asked_for_anew(answers: Answers, clock: Clock) -> None:
    there = clock.now
    ask(answers, clock, b"a", False)
    ask(answers, clock, b"b", True)
    answers.forget([b"a", b"b", b"c"])
    assert answers.look(b"a", there) is Answer.LATER
    assert answers.look(b"b", there) is Answer.HIT


def test_no_more_is_remembered_than_there_is_room_for(answers: Answers, clock: Clock) -> None:
    keys = [bytes([number]) for number in range(10)]
    found = [answers.look(key, clock.now) for key in keys]
    assert found == [Answer.LATER] * 8 + [None] * 2
    assert len(answers) == 8
    answers.settle(answers.take_unasked(), [True] * 8, firm=True)
    assert answers.look(keys[8], clock.now) is None
    clock.now += LIFE_S + 0.001
    assert answers.look(keys[8], clock.now) is Answer.LATER
    assert len(answers) == 8
    assert answers.look(keys[1], 100.0) is Answer.HIT


def test_what_is_under_way_is_not_forgotten_for_others(answers: Answers, clock: Clock) -> None:
    for number in range(8):
        answers.look(bytes([number]), clock.now)
    assert len(answers.take_unasked()) == 8
    clock.now += 100 * LIFE_S
    assert answers.look(b"new", clock.now) is None
    answers.settle([bytes([0])], [True], firm=True)
    assert answers.look(b"new", clock.now) is Answer.LATER
