"""Redundancy: what can be said, what it means for owners, and how large what they store is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_kvstore import InvalidArgument, Redundancy


@pytest.mark.parametrize(
    ("text", "expected", "owners", "data", "parity", "failures"),
    [
        ("single", Redundancy(1), 1, 1, 0, 0),
        ("mirror:2", Redundancy(2), 2, 1, 0, 1),
        ("mirror:3", Redundancy(3), 3, 1, 0, 2),
        ("ec:4+2", Redundancy(data=4, parity=2), 6, 4, 2, 2),
        ("ec:1+1", Redundancy(data=1, parity=1), 2, 1, 1, 1),
        ("ec:32+8", Redundancy(data=32, parity=8), 40, 32, 8, 8),
    ],
)
def test_redundancy_is_read_and_written(
    text: str, expected: Redundancy, owners: int, data: int, parity: int, failures: int
) -> None:
    found = Redundancy.parse(text)
    assert found == expected
    assert str(found) == text
    assert (found.owners, found.data, found.parity) == (owners, data, parity)
    assert found.failures == failures
    assert found.is_cut == text.startswith("ec:")


@pytest.mark.parametrize(
    "text",
    ["", "mirror", "mirror:1", "mirror:4", "mirror:x", "raid", "ec:", "ec:4", "ec:4+", "ec:4+0",
     "ec:0+2", "ec:04+2", "ec:4+2 ", "ec:4-2", "ec:-4+2", "EC:4+2", "ec:٤+2"],
)  # fmt: skip
def test_other_redundancy_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="redundancy"):
        Redundancy.parse(text)


@pytest.mark.parametrize("text", ["ec:33+2", "ec:4+9", "ec:9999+9999"])
def test_shards_beyond_the_limits_are_refused_with_what_is_possible(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r'1 to 32 data and 1 to 8 parity.*"ec:4\+2"'):
        Redundancy.parse(text)


@pytest.mark.parametrize(
    "numbers", [(0, 1, 0), (4, 1, 0), (1, 2, 0), (2, 4, 2), (1, 0, 2), (1, 4, -1)]
)
def test_numbers_that_are_no_redundancy_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidArgument, match="redundancy"):
        Redundancy(*numbers)


@pytest.mark.parametrize(
    ("text", "block_bytes", "chunk_bytes"),
    [
        ("single", 1_000, 1_000),
        ("mirror:2", 1_000, 1_000),
        ("ec:4+2", 1 << 20, (256 << 10) + 32),
        ("ec:4+2", 1, 64 + 32),
        ("ec:4+2", 257, 128 + 32),
        ("ec:3+1", 1_000, 384 + 32),
        ("ec:1+2", 100, 128 + 32),
    ],
)
def test_a_chunk_is_an_aligned_shard_and_its_tail(
    text: str, block_bytes: int, chunk_bytes: int
) -> None:
    assert Redundancy.parse(text).chunk_bytes(block_bytes) == chunk_bytes


@given(st.integers(1, 32), st.integers(1, 8), st.integers(1, 256 << 20))
def test_shards_hold_the_block_and_waste_less_than_a_line_each(
    data: int, parity: int, block_bytes: int
) -> None:
    shard_bytes = Redundancy(data=data, parity=parity).chunk_bytes(block_bytes) - 32
    assert shard_bytes % 64 == 0
    assert block_bytes <= data * shard_bytes < block_bytes + data * 65
