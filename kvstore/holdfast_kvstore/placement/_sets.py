"""Which nodes own each group, whatever their order: the balance of whole rows.

Single owners are replaced in place, by rendezvous score among what brings a node that has too few
groups one from a node that has too many. Where no such exchange is possible, a chain of exchanges
over other nodes is looked for. Owners that are new anyway are replaced first: that costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast_kvstore.cluster_map import HOLE
from holdfast_kvstore.placement._chains import ChainSearch, Moves
from holdfast_kvstore.placement._domains import Int64Array
from holdfast_kvstore.placement._insert import rank_within
from holdfast_kvstore.placement._scores import scores
from holdfast_kvstore.placement._table import Table

CHAIN_CELLS_MAX = 30_000_000
"""Entries of the table looked at for all chains of one call, so that an impossible balance ends."""


def balance_sets(table: Table, moves: Moves) -> None:
    """Replaces owners until every node is in about goals[-1] rows, or nothing more can be done.

    To the group where it costs nothing, else to within the slack.
    """
    slack = table.slack[-1]
    if moves is Moves.OF_NEW_OWNERS:
        slack = np.zeros_like(slack)
    no_slack = np.zeros_like(slack)
    # Nodes with far too few groups take from all that have too many, and then nodes with far too
    # many give to all that have too few.
    for taker_slack, giver_slack in ((slack, no_slack), (no_slack, slack)):
        step = _Step(table, moves, taker_slack, giver_slack)
        if moves is not Moves.OF_LAST_PLACE:
            step.take_directly()
        step.take_by_chains()
        if not slack.any():
            break


@dataclass(frozen=True, slots=True)
class _Step:
    """Exchanges between nodes that are off by more than their slack."""

    table: Table
    moves: Moves
    taker_slack: Int64Array
    giver_slack: Int64Array

    def takers(self) -> list[int]:
        """Nodes with too few groups."""
        return np.flatnonzero(self.table.set_spare < -self.taker_slack).tolist()

    def giving(self) -> Int64Array:
        """int64[nodes]: how many groups each node should give."""
        spare = self.table.set_spare
        return np.where(spare > self.giver_slack, spare, 0)

    def take_directly(self) -> None:
        """From owner to owner, at first where that suits the places too."""
        for by_place in (True, False):
            for node in self.takers():
                for place in range(self.table.domains.width):
                    self._take(by_place, place, node)

    def _take(self, by_place: bool, place: int, node: int) -> None:
        """Puts `node` in the place of nodes with too many groups (`by_place`: there too)."""
        table = self.table
        wanted = -int(table.set_spare[node])
        spare = self.giving()
        if by_place:
            here = table.place_loads[place] - np.diff(table.goals, axis=0, prepend=0)[place]
            wanted = min(wanted, -int(here[node]))
            spare = np.minimum(spare, here)
        if wanted <= 0:
            return
        giving = (spare[table.rows[:, place]] > 0) & (table.rows[:, place] != HOLE)
        if self.moves is Moves.OF_NEW_OWNERS:
            giving &= table.fresh()[:, place]
        groups = np.flatnonzero(giving)
        groups = groups[~table.domains.conflicts(table.rows[groups], place, np.array(node))]
        groups = groups[np.argsort(scores(table.domains, groups, np.array(node)), kind="stable")]
        if table.behind is not None:
            out = table.behind.driven_out_by(node, groups)
            groups = groups[np.argsort(out, kind="stable")]
        givers = table.rows[groups, place]
        groups = groups[rank_within(givers) < spare[givers]]
        table.put(groups[:wanted], place, node)

    def take_by_chains(self) -> None:
        """Where no direct exchange is possible, one over further nodes."""
        search = ChainSearch(self.table, self.moves)
        budget = max(1, CHAIN_CELLS_MAX // self.table.rows.size)
        hopeless: set[int] = set()
        for node in self.takers():
            while budget > 0 and node not in hopeless and self._lacking(node) > 0:
                giving = self.giving()
                chain, looked_at = search.find(giving > 0, node, budget)
                budget -= len(looked_at)
                if not chain:
                    # What reaches one of these reaches `node`, and nothing that gives did.
                    hopeless.update(looked_at)
                else:
                    search.apply(chain, min(self._lacking(node), int(giving[chain[0].giver])))

    def _lacking(self, node: int) -> int:
        """Groups that the node should take."""
        lacking = -int(self.table.set_spare[node])
        if lacking <= self.taker_slack[node]:
            return 0
        if self.moves is not Moves.OF_LAST_PLACE:
            return lacking
        goals = self.table.goals[:, node]
        here = int(goals[-1] - goals[-2]) if len(goals) > 1 else int(goals[-1])
        return min(lacking, here - int(self.table.place_loads[-1, node]))
