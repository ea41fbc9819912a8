"""Blocks with known contents."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

import holdfast

Bytes = npt.NDArray[np.uint8]


def keys(first: int, count: int) -> Bytes:
    """uint8[count, 16]: keys of blocks `first` and following."""
    numbers = np.zeros((count, 2), "<u8")
    numbers[:, 0] = np.arange(first, first + count)
    return numbers.view(np.uint8).reshape(count, 16)


def contents(first: int, count: int, block_bytes: int) -> Bytes:
    """uint8[count, block_bytes]: what the tests store in those blocks."""
    return np.stack(
        [
            np.random.default_rng(number).integers(0, 256, block_bytes, np.uint8)
            for number in range(first, first + count)
        ]
    )


def memory_of(region: holdfast.Region, block_bytes: int) -> Bytes:
    """The region's memory as uint8[blocks, block_bytes]."""
    memory: Any = region.memory
    return np.frombuffer(memory, np.uint8).reshape(-1, block_bytes)


def put_blocks(space: holdfast.Space, first: int, count: int) -> holdfast.PutResult:
    """Stores known blocks; checks that each was stored."""
    data = contents(first, count, space.block_bytes)
    with space.register(data) as region:
        result = space.put(keys(first, count), region.blocks())
    assert result.stored == count, result.reasons
    return result


def check_blocks(space: holdfast.Space, first: int, count: int) -> None:
    """Reads known blocks and compares them."""
    place = np.zeros((count, space.block_bytes), np.uint8)
    with space.register(place) as region:
        result = space.get(keys(first, count), region.blocks())
    assert result.all_hit, result.reasons
    assert np.array_equal(place, contents(first, count, space.block_bytes))
