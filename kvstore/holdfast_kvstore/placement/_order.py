"""Second half of the balance: in which order the owners of each group stand.

The sets are given, so each step is an exchange of two places of one row: of the owner that leaves
a prefix and the one behind it that enters. Whole rows that help every prefix they change go first
(`_reorder`). What is left are edges from node to node: shortest paths from nodes that have too many
groups to nodes that have too few are found for all at once, breadth first, and applied, until none
is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.cluster_map import HOLE
from holdfast_kvstore.placement._domains import BoolArray, Int64Array
from holdfast_kvstore.placement._exchange import exchange_rows
from holdfast_kvstore.placement._reorder import reorder_rows
from holdfast_kvstore.placement._table import Table, was_among

PHASES_MAX = 10_000
"""Rounds of search for one prefix; each applies at least one path."""


@dataclass(frozen=True, slots=True)
class _Edges:
    """Exchanges by index: giver at `place` leaves the prefix, taker behind it enters it.

    Preferred last.
    """

    groups: Int64Array
    places: Int64Array
    behind: Int64Array
    givers: npt.NDArray[np.int32]
    takers: npt.NDArray[np.int32]
    free: BoolArray


def balance_order(table: Table) -> None:
    """Reorders rows until each node has goals[w] groups among the first w + 1, where possible.

    A table that is in use is only reordered where a node is off by more than its slack.
    """
    width = table.domains.width
    if table.before is not None and (np.abs(table.spare) > table.slack)[:-1].any():
        reorder_rows(table)
        # What is left is done from the narrowest prefix on, each without touching those before.
        for prefix in range(width - 1):
            _balance_prefix(table, prefix, [(prefix, b) for b in range(width - 1, prefix, -1)])
    # Domains may not permit that. From the widest prefix on, every exchange may be made; one with
    # an earlier place also disturbs narrower prefixes: the nearest comes last.
    for prefix in range(width - 2, -1, -1):
        if not _balance_prefix(table, prefix, [(p, prefix + 1) for p in range(prefix + 1)]):
            exchange_rows(table, prefix)


def _balance_prefix(table: Table, prefix: int, pairs: list[tuple[int, int]]) -> bool:
    """Exchanges places of `pairs` until the prefix is balanced; returns whether it is."""
    slack = table.slack[prefix]
    for _ in range(PHASES_MAX):
        spare = table.spare[prefix]
        high, low = spare > slack, spare < -slack
        if high.any():
            done = _apply_paths(table, prefix, pairs, high, spare < 0)
        elif low.any():
            done = _apply_paths(table, prefix, pairs, spare > 0, low)
        else:
            return True
        if not done:
            return False
    return True


def _edges(table: Table, prefix: int, pairs: list[tuple[int, int]]) -> _Edges:
    rows = table.rows
    groups, frees = [], []
    for place, behind in pairs:
        valid = (rows[:, place] != HOLE) & (rows[:, behind] != HOLE)
        if table.domains.order_matters:
            valid &= _stays_valid(table, place, behind)
        found = np.flatnonzero(valid)
        groups.append(found)
        frees.append(_is_free(table, found, place, behind, prefix))
    group = np.concatenate(groups)
    places, behind_of = np.repeat(np.array(pairs), [len(found) for found in groups], axis=0).T
    return _Edges(
        groups=group,
        places=places,
        behind=behind_of,
        givers=rows[group, places],
        takers=rows[group, behind_of],
        free=np.concatenate(frees),
    )


def _is_free(table: Table, groups: Int64Array, place: int, behind: int, prefix: int) -> BoolArray:
    """bool[groups]: whether the exchange moves nothing more than has moved already."""
    if table.before is None:
        return np.ones(len(groups), dtype=np.bool_)
    before = table.before[groups, : prefix + 1]
    was = was_among(before, table.rows[groups][:, [place, behind]])
    free: BoolArray = ~was[:, 0] | was[:, 1]
    return free


def _stays_valid(table: Table, first: int, second: int) -> BoolArray:
    """bool[groups]: whether a row is valid after its places `first` and `second` are exchanged."""
    swapped = table.rows.copy()
    swapped[:, [first, second]] = swapped[:, [second, first]]
    valid = np.ones(len(swapped), dtype=np.bool_)
    for place in (first, second):
        valid &= ~table.domains.conflicts(swapped, place, swapped[:, place].astype(np.int64))
    return valid


def _apply_paths(
    table: Table,
    prefix: int,
    pairs: list[tuple[int, int]],
    sources: BoolArray,
    sinks: BoolArray,
) -> int:
    """One round: exchanges along cheapest paths that share no end. Returns how many paths."""
    edges = _edges(table, prefix, pairs)
    parents = np.full(len(sources), -1, dtype=np.int64)
    seen = sources.copy()
    # Free edges are followed as far as they lead before one that moves something.
    for free_only in chain.from_iterable(repeat((True, False))):
        frontier = seen
        grown = False
        while frontier.any():
            able = frontier[edges.givers] & ~seen[edges.takers]
            reached = np.flatnonzero(able & edges.free if free_only else able)
            # Of several edges to one node the last is kept.
            parents[edges.takers[reached]] = reached
            frontier = np.zeros_like(seen)
            frontier[edges.takers[reached]] = True
            seen |= frontier
            grown |= len(reached) > 0
            ends = np.flatnonzero(frontier & sinks)
            if len(ends):
                return _apply(table, edges, parents, ends)
            if not free_only:
                break
        if not free_only and not grown:
            break
    return 0


def _apply(table: Table, edges: _Edges, parents: Int64Array, ends: Int64Array) -> int:
    """Applies the path to each end whose source no path before has used."""
    used: set[int] = set()
    for end in ends.tolist():
        path = []
        node = end
        while parents[node] >= 0:
            edge = int(parents[node])
            path.append(edge)
            node = int(edges.givers[edge])
        if node in used:
            continue
        used.add(node)
        for edge in path:
            table.swap(int(edges.groups[edge]), int(edges.places[edge]), int(edges.behind[edge]))
    return len(used)
