"""How far a prefix can be restored when several pools must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PoolPages:
    """What a pool beside the main one has of a prefix."""

    name: str
    stored: Mask
    """bool[pages of the prefix]."""
    trailing: int | None
    """How many pages at the end of a prefix it must have; None: all of them."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far."""

    pages: int
    """Longest prefix that every pool can restore."""
    by_pool: dict[str, int]
    """Longest prefix that each pool could restore, where that is not 0."""
    restorable: list[int]
    """Every length of a prefix that can be restored, ascending."""


def prefix_of(stored: Mask) -> int:
    """Pages that are stored before the first that is not."""
    return len(stored) if stored.all() else int(np.argmin(stored))


def reach_of(main: Mask, others: Sequence[PoolPages]) -> Reach:
    """main: bool[pages], what the main pool has stored."""
    pages = prefix_of(main)
    lengths = np.arange(1, pages + 1)
    usable = np.ones(pages, np.bool_)
    by_pool = {"kv": pages} if pages else {}
    for pool in others:
        fits = _fits(pool, lengths)
        if fits.any():
            by_pool[pool.name] = int(lengths[fits][-1])
        usable &= fits
    restorable = [int(length) for length in lengths[usable]]
    return Reach(restorable[-1] if restorable else 0, by_pool, restorable)


def _fits(pool: PoolPages, lengths: npt.NDArray[np.int64]) -> Mask:
    """bool[lengths]: whether the pool can restore a prefix of that many pages."""
    if pool.trailing is None:
        within: Mask = lengths <= prefix_of(pool.stored)
        return within
    before = np.concatenate(([0], np.cumsum(~pool.stored)))
    first = np.maximum(0, lengths - max(1, pool.trailing))
    whole: Mask = before[lengths] == before[first]
    return whole
