"""The connector's two sides together, on a real cluster, in a stand-in engine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

import holdfast
from holdfast.engines.vllm.groups import KvGroup
from tests.engines.conftest import reach_of
from tests.engines.vllm_stand_in import HASH_TOKENS, StandInEngine

pytestmark = pytest.mark.process
_MODELS = (f"model-{number}" for number in count())
WINDOW = (KvGroup(0, 16), KvGroup(1, 16, "window", 40))
STATES = (KvGroup(0, 16), KvGroup(1, 16, "state"))
MIXED = (KvGroup(0, 32), KvGroup(1, 16, "window", 33), KvGroup(2, 16, "chunk", 64))


def prompt(blocks: int, seed: int = 0, extra: int = 5) -> list[int]:
    return [(place * 31 + seed) % 977 for place in range(blocks * HASH_TOKENS + extra)]


@pytest.fixture
def model() -> str:
    return next(_MODELS)


def stored(reach: dict[str, Any], model: str, tokens: list[int], **settings: Any) -> float:
    """An engine computes `tokens`, stores them and ends; answers how many blocks that were."""
    with StandInEngine(reach, model, **settings) as engine:
        engine.until_open()
        assert engine.run("stored", tokens) == 0
        return engine.counters.total("save_blocks_good")


@pytest.mark.parametrize("load", ["async", "sync"])
def test_a_fresh_engine_loads_what_another_stored(
    reach: dict[str, Any], model: str, load: str
) -> None:
    assert stored(reach, model, prompt(7)) == 7
    with StandInEngine(reach, model, load=load) as second:
        second.until_open()
        request = second.arrive("b", prompt(7))
        found = second.matched(request)
        assert found == 7 * HASH_TOKENS
        second.begin_load(request, found)
        if load == "sync":
            request.num_computed_tokens = found
            second.compute(request)
        else:
            second.until(lambda: "b" in second.received.requests)
            request.num_computed_tokens = found
        assert second.holds(request)
        assert second.counters.total("load_blocks_good") == 7


@pytest.mark.parametrize("groups", [WINDOW, MIXED], ids=["window", "mixed"])
def test_several_groups_hit_with_what_their_attention_needs(
    reach: dict[str, Any], model: str, groups: Sequence[KvGroup]
) -> None:
    stored(reach, model, prompt(8), groups=groups)
    with StandInEngine(reach, model, groups=groups) as second:
        second.until_open()
        assert second.run("b", prompt(8)) == 8 * HASH_TOKENS
        needed = sum(
            8 * HASH_TOKENS // group.block_tokens - group.first_needed(8 * HASH_TOKENS)
            for group in groups
        )
        assert second.counters.total("load_blocks_good") == needed


def test_a_prefix_with_states_ends_where_one_was_left(reach: dict[str, Any], model: str) -> None:
    with StandInEngine(reach, model, groups=STATES) as first:
        first.until_open()
        request = first.arrive("a", prompt(7))
        assert first.matched(request) == 0
        # Of the states between only the engine knows when one stands at a block's end.
        for tokens in (3 * HASH_TOKENS, 20, HASH_TOKENS - 4, None):
            first.compute(request, tokens)
        first.finish(request)
        first.until(lambda: not first.scheduler.busy)
        assert first.counters.total("save_blocks_good") == 7 + 2
        assert first.pool.free == first.pool.free_at_start
    with StandInEngine(reach, model, groups=STATES) as second:
        second.until_open()
        # Blocks of keys and values go on to 7, but there is no state behind 5.
        assert second.run("b", prompt(7)) == 5 * HASH_TOKENS
        assert second.counters.total("load_blocks_good") == 5 + 1
        assert second.run("c", prompt(4)) == 3 * HASH_TOKENS


def test_a_state_that_has_seen_the_last_token_is_not_loaded(
    reach: dict[str, Any], model: str
) -> None:
    """The engine computes the last token again: keys and values allow that, states do not."""
    whole = prompt(6, extra=0)
    with StandInEngine(reach, model, groups=STATES) as engine:
        engine.until_open()
        request = engine.arrive("a", whole)
        engine.compute(request, 4 * HASH_TOKENS)
        engine.compute(request)
        engine.finish(request)
        engine.until(lambda: not engine.scheduler.busy)
        assert engine.run("b", whole) == 4 * HASH_TOKENS
        assert engine.run("c", [*whole, 1]) == 6 * HASH_TOKENS


def test_a_state_that_finds_no_room_is_dropped(reach: dict[str, Any], model: str) -> None:
    bytes_max = 1 << 20  # 128 blocks
    with StandInEngine(reach, model, groups=STATES, save_bytes_max=bytes_max) as engine:
        engine.until_open()
        request = engine.arrive("a", prompt(128, extra=0))
        engine.compute(request)
        engine.finish(request)
        engine.until(lambda: not engine.scheduler.busy)
        assert engine.counters.total("save_blocks_dropped/no_room") == 1
        assert engine.counters.total("save_blocks_good") == 128


def test_workers_that_hold_different_shards_all_load_theirs(
    reach: dict[str, Any], model: str
) -> None:
    assert stored(reach, model, prompt(5), workers=2) == 10
    with StandInEngine(reach, model, workers=2) as second:
        second.until_open()
        assert second.run("b", prompt(5)) == 5 * HASH_TOKENS


def test_what_all_workers_hold_is_stored_once(reach: dict[str, Any], model: str) -> None:
    assert stored(reach, model, prompt(5), workers=2, replicated=True) == 5
    with StandInEngine(reach, model, workers=2, replicated=True) as second:
        second.until_open()
        assert second.run("b", prompt(5)) == 5 * HASH_TOKENS
        assert second.counters.total("load_blocks_good") == 10


def test_a_prefix_is_as_long_as_its_shortest_shard(reach: dict[str, Any], model: str) -> None:
    with StandInEngine(reach, model, workers=2) as first:
        first.until_open()
        request = first.arrive("a", prompt(5))
        first.run("b", prompt(5))
        door = first.scheduler.spaces.doors()[0][1]
        assert door.delete([request.block_hashes[3]]).outcome().good.all()
    with StandInEngine(reach, model, workers=2) as second:
        second.until_open()
        assert second.run("c", prompt(5)) == 3 * HASH_TOKENS


def test_other_weights_share_nothing(reach: dict[str, Any], model: str) -> None:
    with StandInEngine(reach, model) as first, StandInEngine(reach, f"{model}-tuned") as second:
        first.until_open()
        second.until_open()
        first.run("a", prompt(4))
        assert second.run("b", prompt(4)) == 0


def test_blocks_known_to_be_stored_are_not_sent_again(reach: dict[str, Any], model: str) -> None:
    with StandInEngine(reach, model) as engine:
        engine.until_open()
        engine.run("a", prompt(6))
        step_saves = engine.counters.total("save_blocks_good")
        request = engine.arrive("b", prompt(6))
        engine.matched(request)
        step = engine.compute(request)
        assert step_saves == 6 and step.saves == ()


def test_chunks_of_a_prompt_are_stored_as_they_fill(reach: dict[str, Any], model: str) -> None:
    with StandInEngine(reach, model) as engine:
        engine.until_open()
        request = engine.arrive("a", prompt(6))
        sizes = []
        for tokens in (40, 40, None):
            step = engine.compute(request, tokens)
            sizes.append(sum(len(part.ids) for save in step.saves for part in save.blocks))
        assert sizes == [2, 3, 1]


def test_blocks_are_held_until_they_are_stored_and_then_let_go(
    reach: dict[str, Any], model: str
) -> None:
    with StandInEngine(reach, model) as engine:
        engine.until_open()
        before = engine.pool.free
        request = engine.arrive("a", prompt(6))
        engine.compute(request)
        engine.finish(request)
        assert engine.scheduler.busy and engine.pool.free == before - 6
        engine.until(lambda: not engine.scheduler.busy)
        assert engine.pool.free == before


def test_an_engine_that_wants_its_blocks_back_gets_them_at_once(
    reach: dict[str, Any], model: str
) -> None:
    with StandInEngine(reach, model) as engine:
        engine.until_open()
        before = engine.pool.free
        request = engine.arrive("a", prompt(6))
        engine.compute(request)
        engine.finish(request)
        engine.scheduler.let_go()
        assert engine.pool.free == before and not engine.scheduler.busy
        # Whatever comes into those blocks now is not stored under the old keys.
        for worker in engine.workers:
            worker.side.begin(engine.scheduler.step({}, lambda name: [], {}))
            worker.memory[:] = 255
        assert engine.run("b", prompt(6)) % HASH_TOKENS == 0
        assert engine.run("c", prompt(6)) == 6 * HASH_TOKENS


def test_what_fills_at_the_end_of_a_request_is_stored_too(
    reach: dict[str, Any], model: str
) -> None:
    with StandInEngine(reach, model) as engine:
        engine.until_open()
        request = engine.arrive("a", prompt(2, extra=HASH_TOKENS - 1))
        engine.compute(request)
        request.tokens.append(5)
        engine.make_room(request, request.num_tokens)
        request.num_computed_tokens += 1
        for worker in engine.workers:
            worker.compute(request.table[0][2], request.block_hashes[2], 0)
        engine.finish(request)
        engine.until(lambda: not engine.scheduler.busy)
        assert engine.run("b", [*request.tokens, 7]) == 3 * HASH_TOKENS


def test_what_finds_no_room_is_dropped_from_the_tail(reach: dict[str, Any], model: str) -> None:
    bytes_max = 1 << 20  # 128 blocks
    with StandInEngine(reach, model, save_bytes_max=bytes_max, blocks=512) as engine:
        engine.until_open()
        engine.run("a", prompt(140))
        assert engine.counters.total("save_blocks_dropped/no_room") == 12
        assert engine.run("b", prompt(140)) == 128 * HASH_TOKENS


def test_an_aborted_load_gives_its_memory_back_and_its_keys_stay_good(
    reach: dict[str, Any], model: str
) -> None:
    stored(reach, model, prompt(7))
    with StandInEngine(reach, model) as second:
        second.until_open()
        before = second.pool.free
        request = second.arrive("b", prompt(7))
        second.begin_load(request, second.matched(request))
        second.scheduler.finished(request, request.table)
        second.step({}, ended={"b"})
        second.until(lambda: "b" in second.received.requests)
        second._free(request)
        assert second.pool.free == before
        assert second.run("c", prompt(7)) == 7 * HASH_TOKENS


def test_blocks_that_could_not_be_loaded_are_not_offered_again(
    reach: dict[str, Any], model: str
) -> None:
    stored(reach, model, prompt(7))
    with StandInEngine(reach, model) as second:
        second.until_open()
        request = second.arrive("b", prompt(7))
        found = second.matched(request)
        assert found == 7 * HASH_TOKENS
        door = second.scheduler.spaces.doors()[0][0]
        assert door.delete([request.block_hashes[4]]).outcome().good.all()
        assert not second.load(request, found)
        assert second.matched(request) == 4 * HASH_TOKENS


def test_nothing_is_stored_that_stands_on_a_load_that_failed(
    reach: dict[str, Any], model: str
) -> None:
    stored(reach, model, prompt(4))
    with StandInEngine(reach, model, load="sync") as second:
        second.until_open()
        longer = prompt(9)
        request = second.arrive("b", longer)
        found = second.matched(request)
        assert found == 4 * HASH_TOKENS
        door = second.scheduler.spaces.doors()[0][0]
        assert door.delete([request.block_hashes[1]]).outcome().good.all()
        second.begin_load(request, found)
        request.num_computed_tokens = found
        second.compute(request)
        assert second.received.invalid_blocks == {request.table[0][1]}
        second.until(lambda: not second.scheduler.busy)
        assert second.counters.total("save_blocks_dropped/after_failed_load") == 5
        # The engine computes anew from the block that is missing.
        request.num_computed_tokens = HASH_TOKENS
        second.compute(request)
        second.until(lambda: not second.scheduler.busy)
        assert second.matched(second.arrive("c", longer)) == 9 * HASH_TOKENS
    with StandInEngine(reach, model) as third:
        third.until_open()
        assert third.run("d", longer) == 9 * HASH_TOKENS


def test_a_reset_leaves_everything_behind(reach: dict[str, Any], model: str) -> None:
    with StandInEngine(reach, model) as engine:
        engine.until_open()
        engine.run("a", prompt(4))
        running = engine.arrive("b", prompt(6, seed=3))
        engine.scheduler.reset()
        engine.until_open()
        engine.compute(running)
        engine.finish(running)
        assert engine.run("c", prompt(4)) == 0
        assert engine.run("d", prompt(6, seed=3)) == 0, "stored though it began before the reset"
        assert engine.run("e", prompt(4)) == 4 * HASH_TOKENS
    with StandInEngine(reach, model) as other:
        other.until_open()
        assert other.run("f", prompt(4)) == 4 * HASH_TOKENS, "what was stored before is there"


def test_weights_replaced_in_place_leave_everything_behind(
    reach: dict[str, Any], model: str
) -> None:
    with StandInEngine(reach, model, workers=2) as engine:
        engine.until_open()
        engine.run("a", prompt(7))
        running = engine.arrive("r", prompt(7, seed=1))
        engine.compute(running, 3 * HASH_TOKENS)
        for worker in engine.workers:
            worker.side.weights_changed()
        # The scheduler's side hears of it with the next step: what it ordered before is not done.
        engine.compute(running)
        assert engine.run("b", prompt(7)) == 0
        assert engine.counters.total("generations") == 1
        engine.finish(running)
        good = sum(worker.link.counters.total("load_blocks_good") for worker in engine.workers)
        assert good == 0
        engine.until_open()
        engine.run("c", prompt(7))
        assert engine.run("d", prompt(7)) == 7 * HASH_TOKENS
    with StandInEngine(reach, model, workers=2) as another:
        another.until_open()
        # What was stored before still is what the checkpoint makes.
        assert another.run("e", prompt(7)) == 7 * HASH_TOKENS


def test_a_request_that_wants_nothing_from_the_cache_gets_nothing(
    reach: dict[str, Any], model: str
) -> None:
    with StandInEngine(reach, model) as engine:
        engine.until_open()
        engine.run("a", prompt(4))
        request = engine.arrive("b", prompt(4), skip_reading_prefix_cache=True)
        assert engine.scheduler.matched(request, 0) == (0, False)


def test_a_hit_is_only_what_lies_behind_the_engines_own(reach: dict[str, Any], model: str) -> None:
    with StandInEngine(reach, model) as engine:
        engine.until_open()
        engine.run("a", prompt(6))
        request = engine.arrive("b", prompt(6))
        request.num_computed_tokens = 2 * HASH_TOKENS
        assert engine.matched(request) == 4 * HASH_TOKENS


def test_read_only_engines_store_nothing(reach: dict[str, Any], model: str) -> None:
    with StandInEngine(reach, model, save=False) as engine:
        engine.until_open()
        engine.run("a", prompt(4))
        assert engine.counters.total("save_blocks_good") == 0


def test_a_cluster_that_is_down_costs_misses_and_is_found_when_it_comes(model: str) -> None:
    layout = holdfast.LocalLayout(data_nodes=1, arena_mib=32)
    with holdfast.LocalCluster(layout) as here:
        reach = reach_of(here)
        with StandInEngine(reach, model) as engine:
            engine.until_open()
            engine.run("a", prompt(4))
            here.data_nodes[0].kill()
            assert engine.run("b", prompt(5)) == 0
            here.data_nodes[0].start()
            seeds = count(1)

            def stored_again() -> bool:
                seed = next(seeds)
                engine.run(f"c{seed}", prompt(2, seed=seed))
                return engine.counters.total("save_blocks_good") > 4

            # The pauses of an outage grow to 15 s, and the node has to be told of again.
            engine.until(stored_again, seconds=90.0)
