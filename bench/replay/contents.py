"""What the bytes of each block are, so that every byte read can be checked without a copy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast_native import raw_fill

KEY_BYTES = 16


def keys_of(blocks: tuple[int, ...]) -> NDArray[np.uint8]:
    """Keys of blocks, uint8[blocks, 16]: the number, little endian, and its complement."""
    numbers = np.array(blocks, dtype="<u8")
    return np.stack([numbers, ~numbers], axis=1).view(np.uint8).reshape(len(blocks), KEY_BYTES)


def write_contents(block: int, memory: NDArray[np.uint8]) -> None:
    """Fills `memory`, uint8[block_bytes], with the bytes of `block`."""
    raw_fill(memory.data, block + 1)


def is_right(block: int, memory: NDArray[np.uint8], scratch: NDArray[np.uint8]) -> bool:
    """Whether `memory` holds exactly the bytes of `block`; `scratch` is as large, overwritten."""
    raw_fill(scratch.data, block + 1)
    return bool(np.array_equal(memory, scratch))
