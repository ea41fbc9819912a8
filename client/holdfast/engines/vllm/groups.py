"""Which blocks of a prefix an engine's attention needs, and the longest prefix that has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Kind = Literal["full", "window", "chunk", "state"]


@dataclass(frozen=True, slots=True)
class KvGroup:
    """Layers that share one block table."""

    number: int
    """Its place among the engine's groups."""
    block_tokens: int
    """Tokens of one block."""
    kind: Kind = "full"
    """What the next token looks at: all before it, a window behind it, its chunk, or the state
    that the last one left."""
    reach_tokens: int = 0
    """Tokens of the window (the next token included) or chunk."""

    def first_needed(self, tokens: int) -> int:
        """The first block that the token behind a prefix of `tokens` looks at."""
        match self.kind:
            case "full":
                return 0
            case "window":
                return max(0, tokens - self.reach_tokens + 1) // self.block_tokens
            case "chunk":
                return tokens // self.reach_tokens * self.reach_tokens // self.block_tokens
            case "state":
                return (tokens - 1) // self.block_tokens


def longest_hit(
    groups: Sequence[KvGroup],
    found: Sequence[npt.NDArray[np.bool_]],
    computed: int,
    limit: int,
    align: int,
) -> int:
    """Tokens of the longest prefix that can be taken up; `computed` if there is none longer.

    found: of each group bool[blocks], whether the block is stored. computed: tokens that the
    engine has itself; their blocks are not asked of `found`. limit: no longer than this. align:
    lengths are whole multiples of it; every group's block divides it.
    """
    missing = [np.concatenate(([0], np.cumsum(~stored))) for stored in found]
    for group, stored in zip(groups, found, strict=True):
        limit = min(limit, _reach(group, stored, computed))
    for tokens in range(limit // align * align, computed, -align):
        for group, lacks in zip(groups, missing, strict=True):
            first = max(group.first_needed(tokens), computed // group.block_tokens)
            end = tokens // group.block_tokens
            if first < end and lacks[end] != lacks[first]:
                break
        else:
            return tokens
    return computed


def _reach(group: KvGroup, stored: npt.NDArray[np.bool_], computed: int) -> int:
    """Tokens that no hit can exceed for this group's sake."""
    if group.kind == "full":
        first = min(computed // group.block_tokens, len(stored))
        if not stored[first:].all():
            return (first + int(np.argmin(stored[first:]))) * group.block_tokens
    return len(stored) * group.block_tokens
