"""The storage backend of SGLang, its host pools stood in for by arrays, against a real cluster."""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.engines.sglang.backend import Backend, Transfer
from holdfast.engines.sglang.engine import Engine, WeightsInUse
from holdfast.engines.sglang.settings import SglangSettings
from holdfast.errors import ConfigInvalid
from holdfast.local_cluster.waiting import wait_for
from tests.engines.conftest import reach_of
from tests.engines.sglang_pools import (
    LAYOUTS,
    Config,
    HostTensor,
    Pool,
    mha_pool,
    mla_pool,
    uneven_pool,
)

pytestmark = pytest.mark.process
_numbers = itertools.count()
WAIT_S = 40.0
ENGINE = Engine({"model_path": "some/model"})
IN_USE = WeightsInUse("some/model", "default")

Make = Callable[..., Backend]


def page_keys(count: int, what: str = "") -> list[str]:
    """Page hashes as SGLang makes them."""
    return [hashlib.sha256(f"{what}/{number}".encode()).hexdigest() for number in range(count)]


def backend_of(reach: dict[str, Any], **more: Any) -> Backend:
    """A backend with a model of its own, unless `weights_id` names one."""
    settings = {"interface_v1": 1, "weights_id": f"test-{next(_numbers)}", "start_wait_ms": 20_000}
    return Backend(
        SglangSettings.of_extra_config({**settings, **reach, **more.pop("settings", {})}),
        more.pop("config", Config()),
        more.pop("engine", ENGINE),
        more.pop("in_use", lambda: IN_USE),
        logging.getLogger("holdfast.engines.test"),
    )


@pytest.fixture
def make(reach: dict[str, Any]) -> Iterator[Make]:
    """Makes backends with one pool, and closes them."""
    made: list[Backend] = []

    def making(pool: Pool, **more: Any) -> Backend:
        backend = backend_of(reach, **more)
        made.append(backend)
        backend.add_pool("kv", pool, lambda slots: slots)
        return backend

    yield making
    for backend in made:
        backend.close()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pool_of", [mha_pool, mla_pool, uneven_pool])
def test_pages_come_back_as_they_were_and_nothing_else_is_touched(
    make: Make, pool_of: Callable[..., Pool], layout: str
) -> None:
    stored, place = pool_of(layout, seed=1), pool_of(layout, seed=2)
    keys = page_keys(4)
    weights = f"shared-{next(_numbers)}"
    writer = make(stored, settings={"weights_id": weights})
    assert writer.save("kv", keys, stored.slots([5, 0, 2, 3]), 0) == [True] * 4
    reader = make(place, settings={"weights_id": weights})
    assert reader.reach([*keys, *page_keys(1, "not there")], []).pages == 4
    wanted = [place.page_bytes(number) for number in range(6)]
    assert reader.load("kv", keys, place.slots([1, 4, 0, 5])) == [True] * 4
    for here, there in ((1, 5), (4, 0), (0, 2), (5, 3)):
        wanted[here] = stored.page_bytes(there)
    assert [place.page_bytes(number) for number in range(6)] == wanted


def test_what_is_not_stored_is_a_miss_and_ends_the_prefix(make: Make) -> None:
    pool = mha_pool()
    backend = make(pool)
    keys = page_keys(5)
    assert backend.reach(keys, []).pages == 0
    assert backend.save("kv", [keys[0], keys[2]], pool.slots([0, 2]), 0) == [True, True]
    assert backend.reach(keys, []).pages == 1
    found = backend.load("kv", keys, pool.slots([0, 1, 2, 3, 4]))
    assert found == [True, False, True, False, False]
    assert backend.counters.total("load_bad/absent") == 3


@pytest.mark.parametrize(
    "slots",
    [
        np.arange(7),  # no whole pages
        np.arange(1, 9),  # not from a page's start
        np.array([0, 1, 2, 3, 4, 5, 7, 6]),  # not in a row
        np.arange(20, 28),  # past the end
        np.arange(-4, 4),
        np.zeros(0, np.int64),
    ],
)
def test_slots_that_are_no_pages_are_refused_and_nothing_is_moved(
    make: Make, slots: np.ndarray[Any, np.dtype[np.int64]]
) -> None:
    pool = mha_pool()
    backend = make(pool)
    keys = page_keys(2)
    assert backend.save("kv", keys, slots, 0) == [False, False]
    assert backend.load("kv", keys, slots) == [False, False]
    assert backend.reach(keys, []).pages == 0
    assert backend.counters.total("save_bad/unsupported") == 2


def test_latents_are_stored_by_one_rank_and_read_by_all(make: Make) -> None:
    stored, place = mla_pool(seed=1), mla_pool(seed=2)
    weights = {"weights_id": f"shared-{next(_numbers)}"}
    ranks = [Config(rank, 2, is_mla_model=True) for rank in (0, 1)]
    first, second = (
        make(stored, config=ranks[0], settings=weights),
        make(place, config=ranks[1], settings=weights),
    )
    keys = page_keys(3)
    assert second.save("kv", keys, place.slots([0, 1, 2]), 0) == [True] * 3
    assert second.reach(keys, []).pages == 0, "the other rank stores them"
    assert first.save("kv", keys, stored.slots([0, 1, 2]), 0) == [True] * 3
    assert second.load("kv", keys, place.slots([3, 4, 5])) == [True] * 3
    assert place.page_bytes(3) == stored.page_bytes(0)
    assert second.counters.total("save_blocks_good") == 0


OTHERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("heads of another rank", {}, {"config": Config(1, 2)}),
    ("a rank of a wider group", {}, {"config": Config(0, 2)}),
    ("a context-parallel part", {}, {"config": Config(attn_cp_rank=1, attn_cp_size=2)}),
    ("other layers", {"start_layer": 3, "end_layer": 6}, {}),
    ("another data type of the same size", {"dtype": "torch.float16"}, {}),
    ("another layout", {"layout": "page_first_direct"}, {}),
    ("another page size", {"page_size": 8, "pages": 3}, {}),
    ("a format of its own", {"storage_format_tag": "token-major"}, {}),
    ("other weights", {}, {"settings": {"weights_id": "others"}}),
    ("an fp8 cache", {}, {"engine": Engine({"kv_cache_dtype": "fp8_e5m2"})}),
    ("another rotary embedding", {}, {"engine": Engine({"json_model_override_args": "{}"})}),
]


@pytest.mark.parametrize(
    ("pool", "backend"), [case[1:] for case in OTHERS], ids=[c[0] for c in OTHERS]
)
def test_what_changes_the_bytes_is_never_shared(
    make: Make, pool: dict[str, Any], backend: dict[str, Any]
) -> None:
    stored = mha_pool()
    weights = {"weights_id": f"shared-{next(_numbers)}"}
    keys = page_keys(2)
    writer = make(stored, settings=weights)
    assert writer.save("kv", keys, stored.slots([0, 1]), 0) == [True, True]
    alike = make(mha_pool(seed=3), config=Config(model_name="a name"), settings=weights)
    assert alike.reach(keys, []).pages == 2, "a model's name is not what it is"
    other_pool = mha_pool(seed=3, **pool)
    other = make(other_pool, **{**backend, "settings": {**weights, **backend.get("settings", {})}})
    assert other.reach(keys, []).pages == 0
    assert other.load("kv", keys, other_pool.slots([0, 1])) == [False, False]


def test_a_page_larger_than_a_block_is_stored_in_parts() -> None:
    size: dict[str, Any] = {"layers": 9, "page_size": 64, "pages": 3}
    stored, place = (Pool("layer_first", (10_000, 10_000), seed=seed, **size) for seed in (1, 2))
    keys = page_keys(1)
    # Each part fills most of an extent: a cluster that other tests have filled has no room for it.
    with holdfast.LocalCluster(holdfast.LocalLayout(data_nodes=1, arena_mib=64)) as cluster:
        ends = [backend_of(reach_of(cluster), settings={"weights_id": "shared"}) for _ in range(2)]
        writer, reader = ends
        for backend, pool in ((writer, stored), (reader, place)):
            backend.add_pool("kv", pool, lambda slots: slots)
        assert writer.save("kv", keys, stored.slots([2]), 0) == [True]
        assert reader.reach(keys, []).pages == 1
        assert reader.load("kv", keys, place.slots([0])) == [True]
        assert place.page_bytes(0) == stored.page_bytes(2)
        assert reader.counters.total("load_blocks_good") == 2
        for backend in ends:
            backend.close()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_flat_pages_are_the_same_pages(make: Make, layout: str) -> None:
    pool = mha_pool(layout)
    backend = make(pool)
    keys = page_keys(2)
    flat = HostTensor(np.zeros(len(pool.page_bytes(0)) // 2, np.uint16))
    assert not backend.load_flat(keys[0], flat)
    assert backend.save("kv", keys[:1], pool.slots([4]), 0) == [True]
    assert backend.load_flat(keys[0], flat)
    assert flat.array.tobytes() == pool.page_bytes(4)
    assert backend.save_flat(keys[1], flat)
    assert backend.load("kv", keys[1:], pool.slots([0])) == [True]
    assert pool.page_bytes(0) == pool.page_bytes(4)
    assert not backend.load_flat(keys[0], HostTensor(np.zeros(3, np.uint16)))


def test_pools_of_a_hybrid_model_have_spaces_of_their_own(make: Make) -> None:
    pool, window = mha_pool(), mha_pool("layer_first", pages=9, layers=2)
    backend = make(pool)
    backend.add_pool("swa", window, lambda slots: slots)
    keys = page_keys(6)
    want = [Transfer("swa", "trailing_pages", 2)]
    assert backend.save("kv", keys[:5], pool.slots([0, 1, 2, 3, 4]), 0) == [True] * 5
    assert backend.reach(keys, want).pages == 0
    assert backend.save("swa", keys[2:4], window.slots([7, 8]), 2) == [True, True]
    reach = backend.reach(keys, want)
    assert (reach.pages, reach.by_pool, reach.restorable) == (4, {"kv": 5, "swa": 4}, [4])
    told = window.page_bytes(8)
    assert backend.load("swa", keys[3:4], window.slots([0])) == [True]
    assert window.page_bytes(0) == told
    assert backend.reach(keys, [Transfer("indexer", "all_pages", 0)]).pages == 0
    assert backend.reach(keys, [Transfer("indexer", "block_groups", 0)]).pages == 5


def test_a_pool_that_cannot_be_served_costs_misses(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    pool = mha_pool(shared_allocation_domain=object())
    backend = make(pool)
    keys = page_keys(2)
    assert backend.reach(keys, []).pages == 0
    assert backend.save("kv", keys, pool.slots([0, 1]), 0) == [False, False]
    assert backend.load("kv", keys, pool.slots([0, 1])) == [False, False]
    assert not backend.load_flat(keys[0], HostTensor(np.zeros(1, np.uint16)))
    assert [
        record.message for record in caplog.records if "cannot be stored" in record.message
    ] == [
        "pages of pool kv cannot be stored, it is served without the cluster: its pages move: it "
        "shares its memory with another pool"
    ]


def test_clear_drops_what_is_stored(make: Make) -> None:
    pool = mha_pool()
    backend = make(pool)
    keys = page_keys(3)
    assert backend.save("kv", keys, pool.slots([0, 1, 2]), 0) == [True] * 3
    assert backend.clear()
    wait_for("loss of the pages", lambda: not backend.reach(keys, []).pages, WAIT_S)
    slots = pool.slots([0, 1, 2])
    wait_for("an empty space", lambda: all(backend.save("kv", keys, slots, 0)), WAIT_S)
    assert backend.reach(keys, []).pages == 3


def test_weights_that_change_while_it_runs_stop_it(make: Make) -> None:
    pool = mha_pool()
    in_use = [IN_USE]
    backend = make(pool, in_use=lambda: in_use[0])
    keys = page_keys(2)
    assert backend.save("kv", keys, pool.slots([0, 1]), 0) == [True, True]
    in_use[0] = WeightsInUse("some/model", "step-2")
    assert backend.reach(keys, []).pages == 0
    assert backend.load("kv", keys, pool.slots([0, 1])) == [False, False]
    assert backend.save("kv", keys, pool.slots([0, 1]), 0) == [False, False]
    in_use[0] = IN_USE
    assert backend.reach(keys, []).pages == 0, "nobody knows what happened in between"
    assert backend.counters.total("calls_refused/weights_changed") == 4


def test_transfers_are_told_once_with_their_speeds(make: Make) -> None:
    pool = mha_pool()
    backend = make(pool)
    keys = page_keys(3)
    backend.save("kv", keys, pool.slots([0, 1, 2]), 0)
    backend.load("kv", keys[:2], pool.slots([0, 1]))
    loads, load_speeds, saves, save_speeds = backend.take_speeds()
    assert (loads, saves) == ([2], [3])
    assert load_speeds[0] > 0 and save_speeds[0] > 0
    assert backend.take_speeds() == ([], [], [], [])


def test_a_cluster_that_is_down_costs_misses_and_is_picked_up_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layout = holdfast.LocalLayout(data_nodes=1, arena_mib=64)
    with holdfast.LocalCluster(layout) as cluster:
        deadlines = {"lookup_deadline_ms": 300, "load_deadline_ms": 300, "save_deadline_ms": 300}
        backend = backend_of(reach_of(cluster), settings=deadlines)
        pool = mha_pool()
        backend.add_pool("kv", pool, lambda slots: slots)
        keys = page_keys(2)
        assert backend.save("kv", keys, pool.slots([0, 1]), 0) == [True, True]
        node = cluster.data_nodes[0]
        node.pause()
        for _ in range(8):
            began = time.monotonic()
            assert backend.reach(keys, []).pages == 0
            assert backend.load("kv", keys, pool.slots([0, 1])) == [False, False]
            assert backend.save("kv", page_keys(2, "new"), pool.slots([0, 1]), 0) == [False, False]
            assert time.monotonic() - began < 5
        warnings = [r for r in caplog.records if "does not answer" in r.message]
        assert len(warnings) == 1
        node.resume()
        wait_for("the pages", lambda: backend.reach(keys, []).pages == 2, WAIT_S)
        backend.close()


def test_a_cluster_that_is_not_there_holds_nobody_up(nowhere: dict[str, Any]) -> None:
    backend = backend_of(nowhere, settings={"start_wait_ms": 200})
    pool = mha_pool()
    backend.add_pool("kv", pool, lambda slots: slots)
    began = time.monotonic()
    for _ in range(5):
        assert backend.reach(page_keys(2), []).pages == 0
        assert backend.save("kv", page_keys(2), pool.slots([0, 1]), 0) == [False, False]
    assert time.monotonic() - began < 5
    assert not backend.clear()
    backend.close()


def test_settings_say_what_is_wrong() -> None:
    good = {"interface_v1": 1, "backend_name": "holdfast", "module_path": "m", "class_name": "c"}
    assert SglangSettings.of_extra_config({**good, "lanes": 3}).lanes == 3
    with pytest.raises(ConfigInvalid, match="interface_v1"):
        SglangSettings.of_extra_config({"backend_name": "holdfast"})
    with pytest.raises(ConfigInvalid, match="lane_count"):
        SglangSettings.of_extra_config({**good, "lane_count": 3})
    with pytest.raises(ConfigInvalid, match="log their settings"):
        SglangSettings.of_extra_config({**good, "key": "hf1.secret.secret"})


def test_engines_whose_pages_cannot_be_told_apart_are_refused(reach: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match="lora_named"):
        backend_of(reach, engine=Engine({}, serves_lora=True))
    backend_of(reach, engine=Engine({}, serves_lora=True), settings={"lora_named": True}).close()
    with pytest.raises(ConfigInvalid, match="weights_id"):
        backend_of(reach, settings={"weights_id": None})
