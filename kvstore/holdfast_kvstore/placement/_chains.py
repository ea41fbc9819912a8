"""Chains of exchanges: a node takes a group from a second, which takes one from a third.

Needed where no row lets the node with too few groups replace one with too many directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from holdfast_kvstore.cluster_map import HOLE
from holdfast_kvstore.placement._domains import BoolArray
from holdfast_kvstore.placement._table import Table

Chain = list[tuple[int, int, int]]
"""Exchanges (group, place, node that takes it)."""


class Moves(Enum):
    """What an exchange may cost."""

    OF_NEW_OWNERS = auto()
    """Only owners that are new in their row are replaced: nothing more moves than has moved."""
    OF_LAST_PLACE = auto()
    """Last owners are replaced, so that narrower prefixes stay; only the first exchange moves."""
    ANY = auto()
    """Every owner may be replaced."""


@dataclass(frozen=True, slots=True)
class ChainSearch:
    """Looks for chains in one table."""

    table: Table
    moves: Moves

    def find(self, giving: BoolArray, needy: int, budget: int) -> tuple[Chain, list[int]]:
        """Exchanges that bring `needy` one group from a node that gives; the nodes looked at.

        Searches breadth first from `needy`, over at most `budget` nodes. No row serves two
        exchanges of a chain, so that each is still valid when it is made.
        """
        fresh = self.table.fresh()
        step_of: dict[int, tuple[int, int, int]] = {}
        seen = {needy}
        queue = [needy]
        looked_at: list[int] = []
        for taker in queue:
            if len(looked_at) >= budget:
                break
            looked_at.append(taker)
            used = {group for group, _, _ in _chain_to(step_of, taker)}
            for giver, group, place in self._givers(fresh, taker, taker == needy):
                if giver in seen or group in used:
                    continue
                seen.add(giver)
                step_of[giver] = (group, place, taker)
                if giving[giver]:
                    return _chain_to(step_of, giver), looked_at
                queue.append(giver)
        return [], looked_at

    def _givers(self, fresh: BoolArray, taker: int, first: bool) -> list[tuple[int, int, int]]:
        """(node, group, place) of each node that could make room for `taker` somewhere."""
        table = self.table
        last = table.domains.width - 1
        places = [last] if self.moves is Moves.OF_LAST_PLACE else range(last + 1)
        found = []
        for place in places:
            able = table.rows[:, place] != HOLE
            if self.moves is Moves.OF_NEW_OWNERS:
                able &= fresh[:, place]
            elif self.moves is Moves.OF_LAST_PLACE and not first and table.before is not None:
                able &= fresh[:, place] | (table.before == taker).any(axis=1)
            mine = np.flatnonzero(able)
            free = mine[~table.domains.conflicts(table.rows[mine], place, np.array(taker))]
            givers, index = np.unique(table.rows[free, place], return_index=True)
            groups = free[index].tolist()
            found += [
                (giver, group, place) for giver, group in zip(givers.tolist(), groups, strict=True)
            ]
        return found


def _chain_to(step_of: dict[int, tuple[int, int, int]], giver: int) -> Chain:
    """The exchanges from the last giver back to the node in need."""
    chain: Chain = []
    while giver in step_of:
        chain.append(step_of[giver])
        giver = step_of[giver][2]
    return chain
