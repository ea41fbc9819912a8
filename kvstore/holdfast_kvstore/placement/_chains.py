"""Chains of exchanges: a node takes a group from a second, which takes one from a third.

Needed where no row lets the node with too few groups replace one with too many directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from holdfast_kvstore.cluster_map import HOLE
from holdfast_kvstore.placement._domains import BoolArray, Int64Array
from holdfast_kvstore.placement._table import Table


@dataclass(frozen=True, slots=True)
class Link:
    """One exchange of a chain: `taker` may replace `giver` at `place` of any of `groups`.

    The first of the groups is not the first of any other link between `taker` and the needy node.
    """

    groups: Int64Array
    place: int
    taker: int
    giver: int


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

    def find(self, giving: BoolArray, needy: int, budget: int) -> tuple[list[Link], list[int]]:
        """Exchanges that bring `needy` groups from a node that gives; the nodes looked at.

        Searches breadth first from `needy`, over at most `budget` nodes.
        """
        fresh = self.table.fresh()
        link_of: dict[int, Link] = {}
        queue = [needy]
        looked_at: list[int] = []
        for taker in queue:
            if len(looked_at) >= budget:
                break
            looked_at.append(taker)
            used = [link.groups[0] for link in _chain_to(link_of, taker)]
            for link in self._links(fresh, taker, used):
                if link.giver == needy or link.giver in link_of:
                    continue
                link_of[link.giver] = link
                if giving[link.giver]:
                    return _chain_to(link_of, link.giver), looked_at
                queue.append(link.giver)
        return [], looked_at

    def _links(self, fresh: BoolArray, taker: int, used: list[np.int64]) -> list[Link]:
        """Every exchange by which a node could make room for `taker`, but not in `used` rows."""
        table = self.table
        last = table.domains.width - 1
        found = []
        for place in [last] if self.moves is Moves.OF_LAST_PLACE else range(last + 1):
            able = table.rows[:, place] != HOLE
            able[used] = False
            if self.moves is Moves.OF_NEW_OWNERS:
                able &= fresh[:, place]
            elif self.moves is Moves.OF_LAST_PLACE and used and table.before is not None:
                able &= fresh[:, place] | (table.before == taker).any(axis=1)
            mine = np.flatnonzero(able)
            free = mine[~table.domains.conflicts(table.rows[mine], place, np.array(taker))]
            order = np.argsort(table.rows[free, place], kind="stable")
            givers, starts = np.unique(table.rows[free[order], place], return_index=True)
            parts = np.split(free[order], starts[1:])
            found += [
                Link(groups, place, taker, giver)
                for giver, groups in zip(givers.tolist(), parts, strict=False)
            ]
        return found

    def apply(self, chain: list[Link], groups_max: int) -> None:
        """Makes the exchanges for one group, or for more if there are rows for them.

        No row serves two exchanges, so that each is still valid when it is made.
        """
        used = np.array([link.groups[0] for link in chain])
        chosen = []
        for link in chain:
            further = np.setdiff1d(link.groups, used)[: groups_max - 1]
            used = np.concatenate([used, further])
            chosen.append(np.concatenate([link.groups[:1], further]))
        count = min(len(groups) for groups in chosen)
        for link, groups in zip(chain, chosen, strict=True):
            self.table.put(groups[:count], link.place, link.taker)


def _chain_to(link_of: dict[int, Link], giver: int) -> list[Link]:
    """The exchanges from the last giver back to the node in need."""
    chain: list[Link] = []
    while giver in link_of:
        chain.append(link_of[giver])
        giver = link_of[giver].taker
    return chain
