"""Rows of the primary tier, cut into stored blocks."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engines.vllm_tier.rows import Rows, RowShape
from holdfast.errors import Closed, ConfigInvalid
from holdfast_kvstore.policies import LIMITS

PAGE = 4096


def test_a_row_that_a_block_can_hold_is_one_block() -> None:
    shape = RowShape(row_bytes=8192, used_bytes=5000)
    assert (shape.parts, shape.part_bytes) == (1, 5000)


@given(st.integers(1, 1 << 36))
def test_parts_cover_what_is_used_and_stay_within_the_row(used: int) -> None:
    row = -(-used // PAGE) * PAGE
    shape = RowShape(row, used)
    assert shape.part_bytes <= LIMITS.block_bytes_max
    assert used <= shape.parts * shape.part_bytes <= row
    assert shape.parts == 1 or (shape.parts // 2) * LIMITS.block_bytes_max < used


@pytest.mark.parametrize(
    ("row", "used"),
    [
        (4096, 0),
        (4096, 4097),
        (0, 0),
        ((16 << 20) + 1, (16 << 20) + 1),  # two parts of whole bytes do not fit
    ],
)
def test_rows_that_cannot_be_cut_are_refused(row: int, used: int) -> None:
    with pytest.raises(ConfigInvalid, match="rows"):
        RowShape(row, used)


def test_names_are_the_keys_and_tell_parts_and_generations_apart() -> None:
    array: Any = np.zeros((2, 32 << 20), np.uint8)
    memory = memoryview(array)
    rows = Rows(memory, RowShape(32 << 20, 32 << 20), 1.0)
    keys = [b"one", b"two"]
    names = [
        bytes(part.data)[first : first + part.key_bytes]
        for suffix in (b"", b"new generation")
        for part in rows.names(keys, suffix)
        for first in range(0, len(part.data), part.key_bytes)
    ]
    assert len(names) == len(set(names)) == 8
    rows.close()
    small = Rows(memory, RowShape(32 << 20, 1000), 1.0)
    assert [bytes(part.data) for part in small.names(keys)] == [b"onetwo"]
    small.close()


def test_memory_is_given_back() -> None:
    mapped = mmap.mmap(-1, 4 * PAGE)
    array: Any = np.frombuffer(mapped, np.int8).reshape(4, PAGE)
    memory = memoryview(array)
    del array
    rows = Rows(memory, RowShape(PAGE, 1000), 1.0)
    assert rows.count == 4
    segments = rows.segments(np.array([3, 1]))
    assert [len(part) for part in segments] == [2]
    memory.release()
    with pytest.raises(BufferError):
        mapped.close()
    rows.close()
    with pytest.raises(Closed):
        rows.segments(np.array([0]))
    del segments
    mapped.close()
