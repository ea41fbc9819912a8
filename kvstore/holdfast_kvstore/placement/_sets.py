"""Which nodes own each group, whatever their order: the balance of whole rows.

Single owners are replaced in place, by rendezvous score among what brings a node that has too few
groups one from a node that has too many. Where no such exchange is possible, a chain of exchanges
over other nodes is looked for. Owners that are new anyway are replaced first: that costs nothing.
"""

from __future__ import annotations

import numpy as np

from holdfast_kvstore.cluster_map import HOLE
from holdfast_kvstore.placement._domains import BoolArray
from holdfast_kvstore.placement._insert import rank_within
from holdfast_kvstore.placement._scores import scores
from holdfast_kvstore.placement._table import Table

CHAIN_NODES_MAX = 4_000
"""Nodes looked at over all chains of one call, so that an impossible balance ends."""

Chain = list[tuple[int, int, int]]
"""Exchanges (group, place, node that takes it)."""


def balance_sets(table: Table, fresh_only: bool) -> None:
    """Replaces owners until every node is in goals[-1] rows, or nothing more can be done.

    `fresh_only`: only owners that are new in their row.
    """
    for by_place in (True, False):
        for node in np.flatnonzero(table.set_spare < 0).tolist():
            for place in range(table.domains.width):
                _take(table, fresh_only, by_place, place, node)
    _balance_by_chains(table, fresh_only)


def _take(table: Table, fresh_only: bool, by_place: bool, place: int, node: int) -> None:
    """Puts `node` in the place of owners with too many groups (`by_place`: at this place too)."""
    spare = table.set_spare
    wanted = -int(spare[node])
    if by_place:
        here = table.place_loads[place] - np.diff(table.goals, axis=0, prepend=0)[place]
        wanted = min(wanted, -int(here[node]))
        spare = np.minimum(spare, here)
    if wanted <= 0:
        return
    giving = (spare[table.rows[:, place]] > 0) & (table.rows[:, place] != HOLE)
    if fresh_only:
        giving &= table.fresh()[:, place]
    groups = np.flatnonzero(giving)
    groups = groups[~table.domains.conflicts(table.rows[groups], place, np.array(node))]
    groups = groups[np.argsort(scores(table.domains, groups, np.array(node)), kind="stable")]
    givers = table.rows[groups, place]
    groups = groups[rank_within(givers) < spare[givers]]
    table.put(groups[:wanted], place, node)


def _balance_by_chains(table: Table, fresh_only: bool) -> None:
    budget = CHAIN_NODES_MAX
    hopeless: set[int] = set()
    for node in np.flatnonzero(table.set_spare < 0).tolist():
        while budget > 0 and node not in hopeless and int(table.set_spare[node]) < 0:
            chain, looked_at = _find_chain(table, fresh_only, node, budget)
            budget -= len(looked_at)
            for group, place, taker in chain:
                table.put(np.array([group]), place, taker)
            if not chain:
                # Whatever reaches one of these reaches `node`, and nothing with a spare group did.
                hopeless.update(looked_at)


def _find_chain(table: Table, fresh_only: bool, needy: int, budget: int) -> tuple[Chain, list[int]]:
    """Exchanges that bring `needy` one group from a node with too many, and the nodes looked at.

    Searches breadth first from `needy`. No row serves two exchanges of a chain, so that each is
    still valid when it is made.
    """
    able = table.fresh() if fresh_only else np.ones(table.rows.shape, dtype=np.bool_)
    spare = table.set_spare > 0
    step_of: dict[int, tuple[int, int, int]] = {}
    seen = {needy}
    queue = [needy]
    looked_at: list[int] = []
    for taker in queue:
        if len(looked_at) >= budget:
            break
        looked_at.append(taker)
        used = {group for group, _, _ in _chain_to(step_of, taker)}
        for giver, group, place in _givers(table, able, taker):
            if giver in seen or group in used:
                continue
            seen.add(giver)
            step_of[giver] = (group, place, taker)
            if spare[giver]:
                return _chain_to(step_of, giver), looked_at
            queue.append(giver)
    return [], looked_at


def _givers(table: Table, able: BoolArray, taker: int) -> list[tuple[int, int, int]]:
    """(node, group, place) of each node that could make room for `taker` somewhere."""
    found = []
    for place in range(table.domains.width):
        mine = np.flatnonzero(able[:, place] & (table.rows[:, place] != HOLE))
        free = mine[~table.domains.conflicts(table.rows[mine], place, np.array(taker))]
        givers, first = np.unique(table.rows[free, place], return_index=True)
        found += [
            (giver, group, place)
            for giver, group in zip(givers.tolist(), free[first].tolist(), strict=True)
        ]
    return found


def _chain_to(step_of: dict[int, tuple[int, int, int]], giver: int) -> Chain:
    """The exchanges in the order in which they are valid: each before the one it makes room in."""
    chain: Chain = []
    while giver in step_of:
        chain.append(step_of[giver])
        giver = step_of[giver][2]
    return chain
