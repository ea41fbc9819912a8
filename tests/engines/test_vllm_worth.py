"""When a hit is worth its load."""

from __future__ import annotations

from holdfast.engines.counters import Counters
from holdfast.engines.vllm.known_keys import KnownKeys
from holdfast.engines.vllm.tempo import Tempo
from holdfast.engines.vllm.worth import Worth
from tests.engines.standing_clock import Clock


def measured(load_s: float, compute_s: float, *, always: bool = False) -> tuple[Worth, Counters]:
    """After one load and one step of 1,024 tokens each."""
    counters, clock = Counters(), Clock()
    worth = Worth(always, counters, clock)
    worth.step_begins(1, {"a": 1024})
    clock.now += compute_s
    worth.step_ended(1)
    worth.loaded(1024, load_s)
    return worth, counters


def test_what_was_not_measured_is_tried() -> None:
    assert Worth(False, Counters(), Clock()).offers(512)


def test_a_load_that_is_faster_is_offered() -> None:
    assert measured(0.1, 0.5)[0].offers(1024)


def test_a_load_that_is_slower_is_held_back_and_counted_and_tried_again() -> None:
    worth, counters = measured(0.5, 0.1)
    offered = [worth.offers(1000) for _ in range(32)]
    assert offered.count(True) == 2 and offered[15] and offered[31]
    assert counters.total("declined_tokens/slower_than_computing") == 30_000


def test_it_can_be_turned_off() -> None:
    worth, _ = measured(0.5, 0.1, always=True)
    assert all(worth.offers(1024) for _ in range(8))


def test_steps_that_overlap_share_the_time() -> None:
    counters, clock = Counters(), Clock()
    worth = Worth(False, counters, clock)
    worth.step_begins(1, {"a": 1024})
    worth.step_begins(2, {"a": 1024})
    clock.now += 1.0
    worth.step_ended(1)
    clock.now += 0.1
    worth.step_ended(2)
    worth.loaded(1024, 0.8)
    assert not worth.offers(1024), "1.0 s and 0.1 s, learned with the weight of the newest"


def test_steps_of_decoding_say_nothing_about_prompts() -> None:
    counters, clock = Counters(), Clock()
    worth = Worth(False, counters, clock)
    worth.step_begins(1, {str(number): 1 for number in range(200)})
    clock.now += 5.0
    worth.step_ended(1)
    worth.loaded(1024, 10.0)
    assert worth.offers(1024)


def test_a_tempo_goes_by_the_nearest_size() -> None:
    tempo = Tempo()
    assert tempo.expects(10) is None
    tempo.took(16, 0.16)
    tempo.took(4096, 4.096)
    assert tempo.expects(20) == 0.2
    assert tempo.expects(8000) == 8.0
    tempo.took(16, 0.0)
    assert tempo.expects(16) == 0.16


def test_known_keys_are_forgotten_in_time_and_at_their_limit() -> None:
    clock = Clock()
    keys = KnownKeys(2, 10.0, clock)
    keys.add((0, b"a"))
    keys.add((0, b"b"))
    keys.add((1, b"a"))
    assert (0, b"a") not in keys and (0, b"b") in keys and (1, b"a") in keys
    clock.now += 11
    assert (0, b"b") not in keys and len(keys) == 1
