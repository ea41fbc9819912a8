"""LMCache's interface when something is wrong: names, settings, the cluster."""

from __future__ import annotations

import logging
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.engines.lmcache import HoldfastPlugin
from holdfast.local_cluster.layout import free_ports
from holdfast.local_cluster.waiting import wait_for
from tests.engines.lmcache_caller import (
    SIZE,
    WAIT_S,
    Caller,
    Start,
    keys,
    reach,
    save_known,
    slices,
    starter,
)

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def local() -> Iterator[holdfast.LocalCluster]:
    with holdfast.LocalCluster(holdfast.LocalLayout(data_nodes=2, arena_mib=256)) as running:
        yield running


@pytest.fixture
def start(local: holdfast.LocalCluster) -> Iterator[Start]:
    """Starts plugins, each as a server of its own would."""
    with starter(local) as started:
        yield started


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """A model that no other test uses."""
    return f"org/{request.node.name}"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("model@01000100@0@00112233aabbccdd", "--hash-algorithm blake3"),
        ("no form at all", "form that this version does not know"),
    ],
)
def test_names_that_cannot_be_trusted_are_misses_and_one_error(
    start: Start, key: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caller = start()
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            ok, error = caller.save([key], slices(bytearray(SIZE), 1, SIZE))
            assert (ok, "unfit_name" in error) == (False, True)
            assert caller.found([key]) == [False]
    assert [told in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("fixed_by", ["", "environment", "newer version"])
def test_hashes_with_a_random_start_are_refused_with_the_setting(
    start: Start,
    model: str,
    fixed_by: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    vllm = types.ModuleType("vllm.v1.core.kv_cache_utils")
    monkeypatch.setattr(vllm, "NONE_HASH", b"drawn at start", raising=False)
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    if fixed_by == "environment":
        monkeypatch.setenv("PYTHONHASHSEED", "0")
    elif fixed_by:
        monkeypatch.setattr(vllm, "DEFAULT_NONE_HASH_SEED", "known", raising=False)
    monkeypatch.setitem(sys.modules, vllm.__name__, vllm)
    names = keys(model, 2)
    caller = start()
    for _ in range(2):
        ok, _ = caller.save(names, slices(bytearray(2 * SIZE), 2, SIZE))
        assert ok == bool(fixed_by)
        assert caller.found(names) == [bool(fixed_by)] * 2
    told = [record for record in caplog.records if "PYTHONHASHSEED=0" in record.getMessage()]
    assert len(told) == (0 if fixed_by else 1)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"kv_dtype": None}, "kv_dtype"),
        ({"key": "hf_secret"}, "log their settings"),
        ({"chunk_size": 256}, "chunk_size"),
        ({"bytes_in_flight_max": 0}, "bytes_in_flight_max"),
    ],
)
def test_settings_that_cannot_work_are_said_at_start(
    local: holdfast.LocalCluster, params: dict[str, Any], told: str
) -> None:
    with pytest.raises(holdfast.ConfigInvalid, match=told) as caught:
        HoldfastPlugin(**{**reach(local), **params})
    assert "hf_secret" not in str(caught.value)


# ---------------------------------------------------------------------------- trouble


def test_a_cluster_that_is_away_costs_misses_and_one_warning(
    model: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TENANTS_KEY", "k" * 32)
    (port,) = free_ports(1)
    plugin = HoldfastPlugin(
        address=f"127.0.0.1:{port}", tenant="local", key="env:A_TENANTS_KEY", kv_dtype="bfloat16"
    )
    caller = Caller(plugin)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            assert caller.found(keys(model, 3)) == [False] * 3
            ok, error = caller.save(keys(model, 3), slices(bytearray(3 * SIZE), 3, SIZE))
            assert not ok
            assert error.startswith("3 of 3 objects failed: ")
    plugin.close()
    assert time.monotonic() - began < WAIT_S
    told = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(told) == 1
    assert plugin.counters.total("outages") == 1


def test_a_dead_node_costs_its_objects_only(model: str) -> None:
    with holdfast.local(data_nodes=2, arena_mib=64) as own, starter(own) as start:
        names = keys(model, 64)
        caller = start()
        stored = save_known(caller, names, 4096)
        own.data_nodes[0].kill()
        place = bytearray(64 * 4096)
        loaded = caller.load(names, slices(place, 64, 4096))
        assert 0 < sum(loaded) < 64
        for at in np.flatnonzero(loaded):
            assert place[at * 4096 : (at + 1) * 4096] == stored[at * 4096 : (at + 1) * 4096]
        own.data_nodes[0].restart()
        own.wait_for_nodes(2)
        wait_for("the node's return", lambda: _saves(caller, names), WAIT_S)


def _saves(caller: Caller, names: Sequence[str]) -> bool:
    return caller.save(names, slices(bytearray(64 * 4096), 64, 4096))[0]


def test_a_node_that_stands_still_costs_one_deadline(model: str) -> None:
    with holdfast.local(data_nodes=1, arena_mib=64) as own, starter(own) as start:
        names = keys(model, 4)
        caller = start(load_deadline_ms=300, lookup_deadline_ms=300, save_deadline_ms=300)
        save_known(caller, names)
        own.data_nodes[0].pause()
        try:
            began = time.monotonic()
            place = bytearray(4 * SIZE)
            assert caller.load(names, slices(place, 4, SIZE)) == [False] * 4
            assert time.monotonic() - began < 3.0
            place.append(0)  # nothing writes there any more
        finally:
            own.data_nodes[0].resume()


def test_close_ends_what_is_under_way(model: str) -> None:
    with holdfast.local(data_nodes=1, arena_mib=64) as own:
        before = threading.active_count()
        plugin = HoldfastPlugin(**reach(own), load_deadline_ms=60_000)
        caller = Caller(plugin)
        names = keys(model, 4)
        save_known(caller, names)
        own.data_nodes[0].pause()
        try:
            place = bytearray(4 * SIZE)
            number = plugin.submit_batch_get(names, slices(place, 4, SIZE))
            began = time.monotonic()
            plugin.close()
            plugin.close()
            assert time.monotonic() - began < 20.0
            (notice,) = plugin.drain_completions()
            assert notice[:2] == (number, False)
            assert notice[3] == [False] * 4
            place.append(0)
            late = plugin.submit_batch_exists(names)
            assert plugin.drain_completions() == [(late, True, "", [False] * 4)]
        finally:
            own.data_nodes[0].resume()
        wait_for("the end of threads", lambda: threading.active_count() <= before, WAIT_S)


def test_a_space_that_is_deleted_is_made_anew(
    start: Start, model: str, local: holdfast.LocalCluster
) -> None:
    names = keys(model, 4)
    caller = start()
    save_known(caller, names)
    with local.connect() as cluster:
        (name,) = [each for each in cluster.spaces() if "deleted_is_made" in each]
        cluster.delete_space(name)
    views = slices(bytearray(4 * SIZE), 4, SIZE)

    def kept() -> bool:
        # Nodes hear of the deletion a moment later: what is saved until then goes with the space.
        return caller.save(names, views)[0] and caller.found(names) == [True] * 4

    wait_for("a new space", kept, WAIT_S)
