"""The blocking calls of a space, on both transports."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import holdfast
from holdfast import Status
from tests.client.blocks import check_blocks, contents, keys, memory_of, put_blocks
from tests.client.conftest import BLOCK_BYTES

pytestmark = pytest.mark.process


def test_what_was_put_is_read_back(space: holdfast.Space) -> None:
    result = put_blocks(space, 0, 50)
    assert result.all_kept
    assert not result.reasons
    check_blocks(space, 0, 50)


def test_out_of_allocated_memory(space: holdfast.Space) -> None:
    with space.allocate(20 * BLOCK_BYTES) as region:
        assert region.shareable
        memory = memory_of(region, BLOCK_BYTES)
        memory[:] = contents(0, 20, BLOCK_BYTES)
        assert space.put(keys(0, 20), region.blocks()).stored == 20
        memory[:] = 0
        assert space.get(keys(0, 20), region.blocks()).all_hit
        assert np.array_equal(memory, contents(0, 20, BLOCK_BYTES))
        del memory


def test_match_counts_the_stored_prefix(space: holdfast.Space) -> None:
    put_blocks(space, 0, 10)
    put_blocks(space, 20, 10)
    assert space.match(keys(0, 30)) == 10
    assert space.match(keys(20, 10)) == 10
    assert space.match(keys(100, 10)) == 0
    assert space.match([]) == 0


def test_exists_answers_for_each_key(space: holdfast.Space) -> None:
    put_blocks(space, 0, 5)
    found = space.exists(keys(3, 4))
    assert list(found) == [True, True, False, False]
    assert (found.count, found.prefix) == (2, 2)
    assert list(space.exists([])) == []


def test_a_miss_is_a_status_with_a_reason(space: holdfast.Space) -> None:
    put_blocks(space, 0, 2)
    with space.allocate(4 * BLOCK_BYTES) as region:
        result = space.get(keys(0, 4), region.blocks())
    assert [Status(status) for status in result.raw] == [Status.HIT] * 2 + [Status.MISS] * 2
    assert (result.hits, result.prefix, result.all_hit) == (2, 2, False)
    assert sum(result.reasons.values()) == 2


def test_a_second_put_finds_the_blocks_present_and_changes_nothing(space: holdfast.Space) -> None:
    put_blocks(space, 0, 3)
    with space.register(contents(100, 3, BLOCK_BYTES)) as region:
        result = space.put(keys(0, 3), region.blocks())
    assert (result.stored, result.present, result.all_kept) == (0, 3, True)
    check_blocks(space, 0, 3)


def test_keys_of_three_forms_name_the_same_blocks(space: holdfast.Space) -> None:
    put_blocks(space, 0, 4)
    array = keys(0, 4)
    assert space.match(array) == 4
    assert space.match(holdfast.PackedKeys(array.tobytes(), 16)) == 4
    assert space.match([key.tobytes() for key in array]) == 4


def test_keys_of_any_length(space: holdfast.Space) -> None:
    names = [b"a", b"ab", b"x" * 4096]
    with space.register(contents(0, 3, BLOCK_BYTES)) as region:
        assert space.put(names, region.blocks()).stored == 3
    assert space.match(names) == 3
    assert list(space.exists([b"abc", b"ab"])) == [False, True]


def test_the_same_key_twice_in_one_put_has_one_result(space: holdfast.Space) -> None:
    with space.register(contents(0, 2, BLOCK_BYTES)) as region:
        result = space.put([b"key", b"key"], region.blocks())
    assert result.raw[0] == result.raw[1] == Status.STORED


def test_deleted_blocks_are_gone(space: holdfast.Space) -> None:
    put_blocks(space, 0, 6)
    result = space.delete(keys(4, 4))
    assert result.mask.tolist() == [True, True, False, False]
    assert result.deleted == 2
    assert space.match(keys(0, 6)) == 4


def test_a_pin_holds_what_is_stored(space: holdfast.Space) -> None:
    put_blocks(space, 0, 2)
    result = space.pin(keys(0, 3), seconds=30)
    assert result.mask.tolist() == [True, True, False]
    facts = space.stat(keys(0, 3)).blocks
    assert facts[2] is None
    assert all(fact is not None and fact.pinned for fact in facts[:2])


@pytest.mark.parametrize("seconds", [0, -1, 601, float("nan")])
def test_a_pin_must_have_a_possible_length(tcp_space: holdfast.Space, seconds: float) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="seconds"):
        tcp_space.pin(keys(0, 1), seconds=seconds)


def test_stat_tells_where_a_block_lies(space: holdfast.Space) -> None:
    import holdfast_native

    put_blocks(space, 0, 1)
    fact = space.stat(keys(0, 1)).blocks[0]
    assert fact is not None
    assert fact.node >= 1
    assert fact.crc32c == holdfast_native.crc32c(contents(0, 1, BLOCK_BYTES)[0])
    assert not fact.pinned


def test_mirrored_blocks_lie_on_two_nodes(
    cluster: holdfast.Cluster, new_name: Callable[[], str]
) -> None:
    space = cluster.space(new_name(), block_bytes=BLOCK_BYTES, redundancy="mirror:2", create=True)
    assert space.redundancy == "mirror:2"
    put_blocks(space, 0, 20)
    check_blocks(space, 0, 20)
    assert space.delete(keys(0, 20)).deleted == 20
    assert space.match(keys(0, 20)) == 0


def test_large_batches_of_large_blocks(
    cluster: holdfast.Cluster, new_name: Callable[[], str]
) -> None:
    space = cluster.space(new_name(), block_bytes=1 << 20, create=True)
    put_blocks(space, 0, 24)
    check_blocks(space, 0, 24)
    space.delete(keys(0, 24))


def test_ten_thousand_small_keys_in_one_call(
    cluster: holdfast.Cluster, new_name: Callable[[], str]
) -> None:
    space = cluster.space(new_name(), block_bytes=64, create=True)
    put_blocks(space, 0, 10_000)
    assert space.match(keys(0, 12_000)) == 10_000
    check_blocks(space, 0, 10_000)


@pytest.mark.parametrize(
    ("count", "block_bytes", "says"),
    [(3, BLOCK_BYTES, "3 keys and segments of 2"), (2, 2 * BLOCK_BYTES, "blocks of 8192 bytes")],
)
def test_segments_that_do_not_fit_are_refused(
    tcp_space: holdfast.Space, count: int, block_bytes: int, says: str
) -> None:
    with tcp_space.allocate(2 * block_bytes) as region:
        segments = region.blocks(block_bytes)
        with pytest.raises(holdfast.InvalidArgument, match=says):
            tcp_space.get(keys(0, count), segments)


def test_read_only_memory_cannot_be_read_into(tcp_space: holdfast.Space) -> None:
    with (
        tcp_space.register(bytes(BLOCK_BYTES)) as region,
        pytest.raises(holdfast.InvalidArgument, match="read"),
    ):
        tcp_space.get([b"key"], region.blocks())


@pytest.mark.parametrize("deadline", [0, -1, 601, float("nan")])
def test_a_deadline_must_be_possible(tcp_space: holdfast.Space, deadline: float) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="deadline"):
        tcp_space.match(keys(0, 1), deadline=deadline)


def test_a_position_must_be_possible(tcp_space: holdfast.Space) -> None:
    with (
        tcp_space.allocate(BLOCK_BYTES) as region,
        pytest.raises(holdfast.InvalidArgument, match="first_position"),
    ):
        tcp_space.put([b"key"], region.blocks(), first_position=-1)


def test_a_closed_cluster_object_says_so(local: holdfast.LocalCluster) -> None:
    opened = local.connect()
    space = opened.space("closing", block_bytes=BLOCK_BYTES, create=True)
    opened.close()
    opened.close()
    with pytest.raises(holdfast.Closed):
        space.match([b"key"])
    with pytest.raises(holdfast.Closed):
        opened.space("closing")
