"""LMCache's interface on a real cluster, without LMCache: what is stored, memory, answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for
from tests.engines.lmcache_caller import (
    SIZE,
    WAIT_S,
    Start,
    contents,
    keys,
    overlays,
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
        (name,) = [each for each in cluster.spaces() if f"-{size}." in each and "larger" in each]
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
