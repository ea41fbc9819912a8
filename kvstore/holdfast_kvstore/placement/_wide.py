"""Places beyond the third: rows as wide as erasure codes need them.

One place after the other is filled for all groups. An owner stays where it stood; whom a new owner
drove out of a place before takes a place that became free behind it; what is left goes to nodes
that lack groups, by rendezvous. Exchanges within the column then bring every node to its share of
the prefix that ends here. The order of owners means nothing to blocks that are cut, so that only
who enters a row moves anything.
"""

from __future__ import annotations

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, Int32Array
from holdfast_kvstore.placement._column import Column
from holdfast_kvstore.placement._column_chains import exchange_by_chains
from holdfast_kvstore.placement._domains import Domains, Int64Array
from holdfast_kvstore.placement._insert import rank_within
from holdfast_kvstore.placement._scores import scores
from holdfast_kvstore.placement._shares import group_shares, whole_goals
from holdfast_kvstore.placement._table import SLACK, place_loads

_NOT_LACKING_COST = 3
"""What speaks against a node that lacks no groups, on the scale of `Column.costs_of_all`: less than
that a new node would have to enter the row."""
_CROWDED_COST = 20
"""What speaks against a rack or host that has its part of a row: more than anything that moves."""


def widen(domains: Domains, narrow: Int32Array, before: Int32Array | None) -> Int32Array:
    """int32[groups, domains.width]: `narrow` with more owners behind it.

    `before` [groups, domains.width] is the table in force, None for none.
    """
    group_count, settled = narrow.shape
    rows = np.full((group_count, domains.width), HOLE, dtype=np.int32)
    rows[:, :settled] = narrow
    likely = rows.copy()
    if before is not None:
        likely[:, settled:] = before[:, settled:]
    shares = group_shares(domains, group_count)
    goals = whole_goals(domains, shares, np.cumsum(place_loads(domains, likely), axis=0))
    in_use = 0 if before is None else int((before != HOLE).any(axis=0).sum())
    for place in range(settled, domains.width):
        used = place < in_use
        # A table that grows wider keeps the places that it has, whatever the new ones need.
        end = in_use if used else domains.width
        slack = SLACK if used else 0.0
        column = Column.of(domains, place, rows, before, goals[place], shares, slack, end)
        _keep(column)
        _fill(column)
        _balance(column)
    return rows


def _keep(column: Column) -> None:
    """Who stood here stays; where that cannot be, somebody who stood before this place."""
    if column.before is None:
        return
    for place in (column.place, *range(column.place)):
        groups = np.flatnonzero(column.owners == HOLE)
        nodes = column.before[groups, place]
        groups, nodes = groups[nodes != HOLE], nodes[nodes != HOLE]
        free = column.is_free(groups, nodes.astype(np.int64), spread=False)
        column.put(groups[free], nodes[free])


def _fill(column: Column) -> None:
    """Gives holes to nodes that lack groups here, the more the likelier."""
    for groups in column.pieces(np.flatnonzero(column.owners == HOLE)):
        column.put(groups, _drawn(column, groups))


def _drawn(column: Column, groups: Int64Array) -> Int32Array:
    """int32[groups]: a node for each hole: one that lacks groups, that costs little, by lot."""
    lacking = np.maximum(-column.spare, 0).astype(np.float64)
    weight = np.maximum(lacking, 1e-3) / column.domains.weights
    nodes = np.arange(column.domains.node_count)
    lots = scores(column.domains, groups[:, None], nodes[None, :]) / weight
    ranks = lots / (1 + lots) + column.costs_of_all(groups)
    ranks[:, lacking == 0] += _NOT_LACKING_COST
    ranks[~column.free_nodes(groups, spread=True)] += _CROWDED_COST
    free = column.free_nodes(groups, spread=False)
    ranks[~free] = np.inf
    found: Int32Array = ranks.argmin(axis=1).astype(np.int32)
    found[~free.any(axis=1)] = HOLE
    return found


def _balance(column: Column) -> None:
    """Exchanges owners until every node has about its share, or nothing more can be done."""
    no_slack = np.zeros_like(column.slack)
    for spread in (True, False):
        # Nodes with far too few groups take from all that have too many, and then nodes with far
        # too many give to all that have too few.
        for taker_slack, giver_slack in ((column.slack, no_slack), (no_slack, column.slack)):
            _exchange(column, taker_slack, giver_slack, spread=spread)
            exchange_by_chains(column, taker_slack, giver_slack, spread=spread)


def _exchange(
    column: Column, taker_slack: Int64Array, giver_slack: Int64Array, *, spread: bool
) -> None:
    """Nodes with too few groups take the place of nodes with too many."""
    for taker in np.flatnonzero(column.spare < -taker_slack).tolist():
        spare = column.spare
        gives = np.where(spare > giver_slack, spare, 0)
        wanted = -int(spare[taker])
        groups = np.flatnonzero((column.owners != HOLE) & (gives[column.owners] > 0))
        takers = np.full(len(groups), taker, dtype=np.int64)
        groups = column.by_preference(groups[column.is_free(groups, takers, spread=spread)], taker)
        givers = column.owners[groups]
        chosen = groups[rank_within(givers) < gives[givers]][:wanted]
        column.put(chosen, np.full(len(chosen), taker, dtype=np.int32))
