"""LMCache's interface on a real cluster, without LMCache."""

from __future__ import annotations

import ctypes
import hashlib
import logging
import select
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.engines.lmcache import HoldfastPlugin
from holdfast.engines.lmcache.notices import Notice
from holdfast.local_cluster.layout import free_ports
from holdfast.local_cluster.waiting import wait_for

pytestmark = pytest.mark.process
SIZE = 64 << 10
WAIT_S = 30.0


@pytest.fixture(scope="module")
def local() -> Iterator[holdfast.LocalCluster]:
    with holdfast.LocalCluster(holdfast.LocalLayout(data_nodes=2, arena_mib=256)) as running:
        yield running


class Caller:
    """Does what LMCache's own adapter does with the plugin."""

    def __init__(self, plugin: HoldfastPlugin) -> None:
        self.plugin = plugin
        self._poller = select.poll()
        self._poller.register(plugin.event_fd(), select.POLLIN)
        self._seen: dict[int, Notice] = {}

    def wait(self, number: int) -> Notice:
        """What became of one batch; no batch may be answered twice."""
        end = time.monotonic() + WAIT_S
        while number not in self._seen:
            assert time.monotonic() < end, f"batch {number} was not answered"
            self._poller.poll(1000)
            for notice in self.plugin.drain_completions():
                assert notice[0] not in self._seen
                self._seen[notice[0]] = notice
        return self._seen[number]

    def readable(self) -> bool:
        return bool(self._poller.poll(0))

    def save(self, keys: Sequence[str], views: Sequence[memoryview]) -> tuple[bool, str]:
        _, ok, error, results = self.wait(self.plugin.submit_batch_set(keys, views))
        assert results is None
        return ok, error

    def load(self, keys: Sequence[str], views: Sequence[memoryview]) -> list[bool]:
        _, ok, error, results = self.wait(self.plugin.submit_batch_get(keys, views))
        assert results is not None
        assert ok == all(results) == (not error)
        return results

    def found(self, keys: Sequence[str]) -> list[bool]:
        _, ok, _, results = self.wait(self.plugin.submit_batch_exists(keys))
        assert ok
        assert results is not None
        return results


Start = Callable[..., Caller]


@pytest.fixture
def start(local: holdfast.LocalCluster) -> Iterator[Start]:
    """Starts plugins, each as a server of its own would."""
    with starter(local) as started:
        yield started


@contextmanager
def starter(cluster: holdfast.LocalCluster) -> Iterator[Start]:
    running: list[HoldfastPlugin] = []

    def started(**params: Any) -> Caller:
        plugin = HoldfastPlugin(**{**reach(cluster), **params})
        running.append(plugin)
        return Caller(plugin)

    try:
        yield started
    finally:
        for plugin in running:
            plugin.close()


def reach(cluster: holdfast.LocalCluster) -> dict[str, Any]:
    return {
        "address": cluster.address,
        "tenant": cluster.tenant,
        "key": f"file:{cluster.directory / 'tenant.key'}",
        "kv_dtype": "bfloat16",
    }


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """A model that no other test uses."""
    return f"org/{request.node.name}"


def keys(
    model: str, count: int, *, rank: int = 0x01000100, group: int = 0, salt: str = ""
) -> list[str]:
    """Names in LMCache's form."""
    ending = f"@{salt}" if salt else ""
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]
    return [f"{model}@{rank:08x}@{group:x}@{digest}{ending}" for digest in digests]


def contents(seed: int, nbytes: int) -> bytes:
    return np.random.default_rng(seed).bytes(nbytes)


def overlays(pool: bytearray, offsets: Sequence[int], nbytes: int) -> list[memoryview]:
    """Views as LMCache makes them: they do not own the memory, nor know the pool."""
    first = ctypes.addressof(ctypes.c_ubyte.from_buffer(pool))
    return [memoryview((ctypes.c_ubyte * nbytes).from_address(first + at)) for at in offsets]


def slices(pool: bytearray, count: int, nbytes: int) -> list[memoryview]:
    return [memoryview(pool)[at * nbytes : (at + 1) * nbytes] for at in range(count)]


def save_known(caller: Caller, names: Sequence[str], nbytes: int = SIZE) -> bytes:
    """Stores known objects; answers all their bytes."""
    data = bytearray(contents(1, len(names) * nbytes))
    assert caller.save(names, slices(data, len(names), nbytes)) == (True, "")
    return bytes(data)


# ---------------------------------------------------------------------------- what is stored


def test_what_one_server_stores_a_fresh_one_finds_and_loads(start: Start, model: str) -> None:
    names = keys(model, 12)
    stored = save_known(start(), names[:10])
    fresh = start()
    assert fresh.found(names) == [True] * 10 + [False] * 2
    place = bytearray(12 * SIZE)
    assert fresh.load(names, slices(place, 12, SIZE)) == [True] * 10 + [False] * 2
    assert place[: 10 * SIZE] == stored


def test_a_running_server_finds_what_another_stored_later(start: Start, model: str) -> None:
    one, other = start(), start()
    names = keys(model, 3)
    assert other.found(names) == [False] * 3
    save_known(one, names)
    wait_for("a newer list of spaces", lambda: other.found(names) == [True] * 3, WAIT_S)


def test_objects_of_several_sizes_and_groups_in_one_batch(start: Start, model: str) -> None:
    names = keys(model, 2) + keys(model, 2, group=1)
    sizes = [SIZE, SIZE, 3 * 4096, 3 * 4096]
    data = [bytearray(contents(at, size)) for at, size in enumerate(sizes)]
    assert start().save(names, [memoryview(one) for one in data]) == (True, "")
    fresh = start()
    assert fresh.found(names) == [True] * 4
    places = [bytearray(size) for size in sizes]
    assert fresh.load(names, [memoryview(place) for place in places]) == [True] * 4
    assert places == data


def test_an_object_larger_than_a_block_is_found_whole_or_not_at_all(
    start: Start, model: str, local: holdfast.LocalCluster
) -> None:
    size = 40 << 20
    names = keys(model, 2)
    caller = start()
    data = bytearray(contents(7, size))
    assert caller.save(names[:1], [memoryview(data)]) == (True, "")
    assert caller.found(names) == [True, False]
    place = bytearray(size)
    assert caller.load(names[:1], [memoryview(place)]) == [True]
    assert place == data
    with local.connect() as cluster:
        (name,) = [each for each in cluster.spaces() if f".{size}." in each and "larger" in each]
        space = cluster.space(name)
        assert space.block_bytes < size
        assert space.delete([f"{names[0]}#1".encode()]).deleted == 1
    assert caller.found(names) == [False, False]
    assert caller.load(names[:1], [memoryview(place)]) == [False]


def test_a_size_that_cannot_be_cut_into_equal_blocks_is_refused(start: Start, model: str) -> None:
    prime = (16 << 20) + 43
    caller = start()
    ok, error = caller.save(keys(model, 1), [memoryview(bytearray(prime))])
    assert not ok
    assert "unfit_size 1" in error


def test_deleted_objects_are_gone(start: Start, model: str) -> None:
    names = keys(model, 3)
    caller = start()
    save_known(caller, names)
    number = caller.plugin.submit_batch_delete(names[:2])
    assert caller.wait(number) == (number, True, "", [True, True])
    assert caller.found(names) == [False, False, True]


@pytest.mark.parametrize(
    "other",
    [
        {"kv_dtype": "float16"},
        {"model_revision": "2"},
        {"layout": "avx512"},
        {"object_format": "next"},
        {"space": "elsewhere"},
    ],
)
def test_whoever_says_that_bytes_differ_shares_nothing(
    start: Start, model: str, other: dict[str, str]
) -> None:
    names = keys(model, 2)
    save_known(start(), names)
    differs = start(**other)
    assert differs.found(names) == [False] * 2
    assert differs.load(names, slices(bytearray(2 * SIZE), 2, SIZE)) == [False] * 2


def test_weights_count_by_their_contents(start: Start, model: str, tmp_path: Any) -> None:
    for folder, weights in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.safetensors").write_bytes(weights)
    names = keys(model, 2)
    save_known(start(weights=tmp_path / "a"), names)
    assert start(weights=tmp_path / "b").found(names) == [True] * 2
    assert start(weights=tmp_path / "c").found(names) == [False] * 2


@pytest.mark.parametrize("other", [{"salt": "user-2"}, {"rank": 0x02000200}, {"group": 1}])
def test_names_that_differ_share_nothing(start: Start, model: str, other: dict[str, Any]) -> None:
    caller = start()
    save_known(caller, keys(model, 2))
    assert caller.found(keys(model, 2, **other)) == [False] * 2


def test_the_same_name_in_another_size_is_another_object(start: Start, model: str) -> None:
    names = keys(model, 2)
    caller = start()
    small = save_known(caller, names, SIZE)
    large = save_known(caller, names, 2 * SIZE)
    for nbytes, stored in ((SIZE, small), (2 * SIZE, large)):
        place = bytearray(2 * nbytes)
        assert caller.load(names, slices(place, 2, nbytes)) == [True] * 2
        assert place == stored


# ---------------------------------------------------------------------------- memory


def test_slices_of_a_pool_are_written_in_place_and_nothing_else_is(
    start: Start, model: str
) -> None:
    names = keys(model, 3)
    caller = start()
    pool = bytearray(contents(3, 8 * SIZE))
    offsets = [5 * SIZE + 3, 1, 3 * SIZE]  # neither in order nor aligned
    assert caller.save(names, overlays(pool, offsets, SIZE)) == (True, "")
    there = bytearray(b"\xa5" * len(pool))
    assert caller.load(names, overlays(there, offsets, SIZE)) == [True] * 3
    expected = bytearray(b"\xa5" * len(pool))
    for at in offsets:
        expected[at : at + SIZE] = pool[at : at + SIZE]
    assert there == expected


def test_memory_is_let_go_with_the_answer(start: Start, model: str) -> None:
    names = keys(model, 4)
    caller = start()
    data, place = bytearray(contents(4, 4 * SIZE)), bytearray(4 * SIZE)
    assert caller.save(names, slices(data, 4, SIZE)) == (True, "")
    assert caller.load(names, slices(place, 4, SIZE)) == [True] * 4
    for buffer in (data, place):
        buffer.append(0)  # raises BufferError while anybody holds a view


def test_memory_that_does_not_fit_is_refused(start: Start, model: str) -> None:
    names = keys(model, 2)
    caller = start()
    stored = save_known(caller, names)
    assert caller.save(names, [memoryview(stored)[:SIZE], memoryview(stored)[SIZE:]]) == (True, "")
    assert caller.load(names, [memoryview(bytes(SIZE))] * 2) == [False] * 2
    ok, error = caller.save(names, slices(bytearray(SIZE), 1, SIZE))
    assert not ok
    assert "memory_does_not_fit_keys" in error
    gaps = [memoryview(bytearray(2 * SIZE))[::2]] * 2
    ok, error = caller.save(names, gaps)
    assert not ok
    assert "not contiguous" in error


# ---------------------------------------------------------------------------- answers


def test_the_descriptor_is_readable_while_something_waits(start: Start, model: str) -> None:
    caller = start()
    assert not caller.readable()
    numbers = [caller.plugin.submit_batch_exists(keys(model, 2)) for _ in range(5)]
    wait_for("an answer", caller.readable, WAIT_S)
    assert [caller.wait(number)[0] for number in numbers] == numbers
    assert not caller.readable()
    assert caller.plugin.drain_completions() == []


def test_many_threads_submit_at_once(start: Start, model: str) -> None:
    caller = start()
    numbers: list[int] = []
    data = bytearray(contents(5, 8 * SIZE))

    def submit(thread: int) -> None:
        names = keys(model, 8, salt=f"t{thread}")
        views = slices(data, 8, SIZE)
        numbers.append(caller.plugin.submit_batch_set(names, views))
        numbers.append(caller.plugin.submit_batch_exists(names))

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(set(numbers)) == 16
    assert all(caller.wait(number)[1] for number in numbers)
    for thread_number in range(8):
        assert caller.found(keys(model, 8, salt=f"t{thread_number}")) == [True] * 8


def test_more_than_may_wait_fails_at_once(start: Start, model: str) -> None:
    caller = start(objects_waiting_max=4)
    ok, error = caller.save(keys(model, 5), slices(bytearray(5 * SIZE), 5, SIZE))
    assert not ok
    assert "too_many_waiting 5" in error
    assert caller.plugin.counters.total("objects_refused/too_many_waiting") == 5
    assert caller.save(keys(model, 4), slices(bytearray(4 * SIZE), 4, SIZE)) == (True, "")


def test_more_bytes_than_may_be_under_way_take_their_turn(start: Start, model: str) -> None:
    names = keys(model, 40)
    caller = start(bytes_in_flight_max=SIZE)
    stored = save_known(caller, names)
    place = bytearray(len(stored))
    assert caller.load(names, slices(place, 40, SIZE)) == [True] * 40
    assert place == stored


def test_an_empty_batch_is_answered(start: Start) -> None:
    caller = start()
    assert caller.save([], []) == (True, "")
    assert caller.load([], []) == []
    assert caller.found([]) == []


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


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"kv_dtype": None}, "kv_dtype"),
        ({"key": "hf_secret"}, "LMCache logs its settings"),
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
    wait_for("a new space", lambda: caller.save(names, views)[0], WAIT_S)
    assert caller.found(names) == [True] * 4
