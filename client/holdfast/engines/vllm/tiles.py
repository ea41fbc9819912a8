"""A block of the KV cache cut into tiles, the unit in which a GPU's threads copy it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast.engines.vllm.kv_memory import Page

TILE_BYTES_MAX = 2_048
"""Small enough to spread one block over all threads, large enough for each to have work."""
TILE = np.dtype(
    [("address", np.int64), ("stride", np.int64), ("place", np.int64), ("nbytes", np.int64)]
)
"""As `Tile` in paged_copy.cu: block i has its `nbytes` bytes at `address` + i * `stride` in the
pages, and at `place` behind the begin of its slot."""

Tiles = npt.NDArray[Any]
"""TILE[tiles]: all of a block, in the order of its bytes."""


def tiles_of(pages: Sequence[Page], addresses: Sequence[int]) -> Tiles:
    """The tiles of blocks that lie in `pages`.

    addresses: of each storage that the pages name.
    """
    tiles = []
    place = 0
    for page in pages:
        for run in range(page.runs):
            begin = addresses[page.storage] + page.base + run * page.run_stride
            for offset in range(0, page.run_bytes, TILE_BYTES_MAX):
                nbytes = min(TILE_BYTES_MAX, page.run_bytes - offset)
                tiles.append((begin + offset, page.stride, place + offset, nbytes))
            place += page.run_bytes
    return np.array(tiles, dtype=TILE)


def tiled_bytes(tiles: Tiles) -> int:
    """Bytes of one block."""
    return int(tiles["nbytes"].sum())
