"""The connector's two sides over KV in a GPU's memory, which a stand-in takes the place of."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from holdfast.engines.vllm.groups import KvGroup
from tests.engines.vllm_stand_in import HASH_TOKENS, StandInEngine

pytestmark = pytest.mark.process
_MODELS = (f"device-model-{number}" for number in count())
STAGING_BYTES = 2 << 20
"""128 blocks each way."""
BLOCKS = 200
MIXED = (KvGroup(0, 32), KvGroup(1, 16, "window", 33))


def prompt(blocks: int) -> list[int]:
    return [place * 31 % 977 for place in range(blocks * HASH_TOKENS + 5)]


def engine_of(reach: dict[str, Any], model: str, **settings: Any) -> StandInEngine:
    return StandInEngine(
        reach, model, on_device=True, blocks=512, staging_bytes=STAGING_BYTES, **settings
    )


@pytest.fixture
def model(reach: dict[str, Any]) -> str:
    """The name of a model of which BLOCKS blocks are stored."""
    name = next(_MODELS)
    with engine_of(reach, name) as engine:
        engine.until_open()
        assert engine.run("first", prompt(BLOCKS)) == 0
        assert engine.counters.total("save_blocks_good") == BLOCKS
    return name


def test_a_fresh_engine_loads_while_it_goes_on(reach: dict[str, Any], model: str) -> None:
    with engine_of(reach, model) as engine:
        engine.until_open()
        assert engine.run("b", prompt(BLOCKS)) == BLOCKS * HASH_TOKENS
        assert engine.counters.total("load_blocks_good") == BLOCKS


def test_a_forward_finds_what_it_waits_for(reach: dict[str, Any], model: str) -> None:
    with engine_of(reach, model, load="sync") as engine:
        engine.until_open()
        request = engine.arrive("b", prompt(BLOCKS))
        found = engine.matched(request)
        engine.begin_load(request, found)
        request.num_computed_tokens = found
        engine.compute(request)
        assert engine.holds(request)


def test_blocks_are_shared_with_engines_whose_kv_lies_in_host_memory(
    reach: dict[str, Any], model: str
) -> None:
    with StandInEngine(reach, model, blocks=512) as engine:
        engine.until_open()
        assert engine.run("b", prompt(BLOCKS)) == BLOCKS * HASH_TOKENS


def test_several_groups_pass_through_the_same_slots(reach: dict[str, Any]) -> None:
    name = next(_MODELS)
    for expected in (0, 40 * HASH_TOKENS):
        with engine_of(reach, name, groups=MIXED) as engine:
            engine.until_open()
            assert engine.run("a", prompt(40)) == expected


def test_an_aborted_load_leaves_its_blocks_alone(reach: dict[str, Any], model: str) -> None:
    with engine_of(reach, model) as engine:
        engine.until_open()
        device = engine.workers[0].device
        request = engine.arrive("b", prompt(BLOCKS))
        found = engine.matched(request)
        device.work()  # the GPU still computes something that may use the same blocks
        engine.begin_load(request, found)
        engine.step({})
        engine.scheduler.finished(request, request.table)
        device.end_work()
        engine.step({}, ended={"b"})
        assert "b" in engine.received.requests
        engine.workers[0].memory[:] = 7
        assert engine.run("c", prompt(BLOCKS)) == found
        assert (engine.workers[0].memory[:, request.table[0]] == 7).all()


def test_blocks_that_are_let_go_are_not_stored_with_what_comes_next(
    reach: dict[str, Any],
) -> None:
    name = next(_MODELS)
    with engine_of(reach, name) as engine:
        engine.until_open()
        request = engine.arrive("a", prompt(BLOCKS))
        engine.compute(request)
        engine.finish(request)
        engine.scheduler.let_go()
        for worker in engine.workers:
            worker.side.begin(engine.scheduler.step({}, lambda name: [], {}))
            worker.memory[:] = 255
        assert engine.run("b", prompt(BLOCKS)) % HASH_TOKENS == 0
        assert engine.run("c", prompt(BLOCKS)) == BLOCKS * HASH_TOKENS
        assert not engine.link.health.failing
