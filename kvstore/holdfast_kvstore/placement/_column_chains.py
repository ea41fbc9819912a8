"""Chains of exchanges within one column, where no row lets a needy node replace one with too many.

A node takes a group's place from a second one, which takes another group's from a third.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from holdfast_kvstore.cluster_map import HOLE
from holdfast_kvstore.placement._column import Column
from holdfast_kvstore.placement._domains import BoolArray, Int64Array

CHAINS_MAX = 512
"""Chains of one column and direction, so that an impossible balance ends."""


def exchange_by_chains(
    column: Column, taker_slack: Int64Array, giver_slack: Int64Array, *, spread: bool
) -> None:
    """Moves groups along shortest chains from nodes with too many to nodes with too few."""
    ways: _Ways | None = None
    for _ in range(CHAINS_MAX):
        spare = column.spare
        takers = np.flatnonzero(spare < -taker_slack).tolist()
        givers = spare > giver_slack
        if not takers or not givers.any():
            return
        ways = ways or _Ways.of(column, spread=spread)
        chain = next((c for taker in takers if (c := ways.shortest(taker, givers))), None)
        if chain is None:
            return
        ways.apply(chain, min(-int(spare[chain[0]]), int(spare[chain[-1]])))


@dataclass(slots=True)
class _Ways:
    """Who could take how many groups from whom."""

    column: Column
    spread: bool
    counts: Int64Array
    """int64[takers, givers]; what a node could take from itself is of no use and does no harm."""

    @classmethod
    def of(cls, column: Column, *, spread: bool) -> _Ways:
        nodes = column.domains.node_count
        ways = cls(column, spread, np.zeros((nodes, nodes), dtype=np.int64))
        for groups in column.pieces(np.flatnonzero(column.owners != HOLE)):
            ways._count(groups, 1)
        return ways

    def _count(self, groups: Int64Array, times: int) -> None:
        free = self.column.free_nodes(groups, spread=self.spread)
        np.add.at(self.counts.T, self.column.owners[groups], times * free)

    def shortest(self, taker: int, givers: BoolArray) -> list[int]:
        """Nodes from `taker` to the nearest that gives, each able to take of the next; or none."""
        parents = {taker: taker}
        frontier = [taker]
        while frontier:
            reached = []
            for node in frontier:
                for giver in np.flatnonzero(self.counts[node]).tolist():
                    if giver in parents:
                        continue
                    parents[giver] = node
                    reached.append(giver)
                    if givers[giver]:
                        return _way_back(parents, giver)
            frontier = reached
        return []

    def apply(self, chain: list[int], wanted: int) -> None:
        """Moves up to `wanted` groups along `chain`, as many as each link has."""
        links = list(pairwise(chain))
        count = min(wanted, *(int(self.counts[link]) for link in links))
        for taker, giver in links:
            groups = self._free(np.flatnonzero(self.column.owners == giver), taker)
            chosen = self.column.by_preference(groups, taker)[:count]
            self._count(chosen, -1)
            self.column.put(chosen, np.full(len(chosen), taker, dtype=np.int32))
            self._count(chosen, 1)

    def _free(self, groups: Int64Array, node: int) -> Int64Array:
        """Those of `groups` in which `node` may stand."""
        nodes = np.full(len(groups), node, dtype=np.int64)
        return groups[self.column.is_free(groups, nodes, spread=self.spread)]


def _way_back(parents: dict[int, int], end: int) -> list[int]:
    chain = [end]
    while parents[chain[-1]] != chain[-1]:
        chain.append(parents[chain[-1]])
    return chain[::-1]
