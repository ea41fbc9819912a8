"""Holes of the table: owners that left, or that share a domain and may not.

A new owner may take the hole's own place, or another one while the rest moves up or back by one:
all of these move the same number of blocks, so that one is chosen which brings a group to nodes
that lack one, in every prefix of the row.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, Int32Array
from holdfast_kvstore.placement._domains import Domains, Int64Array
from holdfast_kvstore.placement._scores import scores
from holdfast_kvstore.placement._table import Table

REORDERED_MAX = 5_000
"""Holes for which other places are tried; where more owners left, each hole is filled in place."""
_SET_WEIGHT = 100
_DRIVEN_OUT_WEIGHT = 3


def drop_invalid(domains: Domains, rows: Int32Array) -> None:
    """Makes holes of the later of two owners that share a domain and may not."""
    for place in range(1, rows.shape[1]):
        head = rows[:, : place + 1]
        clash = domains.conflicts(head, place, head[:, place].astype(np.int64))
        rows[clash & (head[:, place] != HOLE), place] = HOLE


def fill_holes(table: Table) -> None:
    """Gives every row as many owners as there can be."""
    holes = np.argwhere(table.rows == HOLE)
    reorder = len(holes) <= REORDERED_MAX
    holes_of_row = np.bincount(holes[:, 0], minlength=len(table.rows)) if len(holes) else None
    for group, place in holes.tolist():
        alone = holes_of_row is not None and holes_of_row[group] == 1
        row = _best_row(table, group, place, reorder and alone)
        if row is not None:
            table.put_rows(np.array([group]), row[None, :])


def _best_row(table: Table, group: int, hole: int, reorder: bool) -> Int32Array | None:
    """The row with the hole filled at the least cost, ties by rendezvous; None: by nobody.

    The hole's own place is good enough if it costs nothing.
    """
    row = table.rows[group]
    spare = table.spare
    preference = scores(table.domains, np.array(group), np.arange(table.domains.node_count))
    avoided = table.behind.drives_out(group) if table.behind is not None else None
    best: tuple[float, float] | None = None
    found = None
    for order in _orders(len(row), reorder):
        moved = row[list(order)]
        place = order.index(hole)
        if table.domains.order_matters and not table.domains.is_valid(moved.tolist()):
            continue
        free = np.flatnonzero(table.domains.free_of(moved, place))
        if not len(free):
            continue
        cost = _cost(spare, row, moved, place, free)
        if avoided is not None:
            cost += _DRIVEN_OUT_WEIGHT * avoided[free]
        cheapest = free[cost == cost.min()]
        chosen = int(cheapest[preference[cheapest].argmin()])
        rank = (float(cost.min()), float(preference[chosen]))
        if best is None or rank < best:
            best, found = rank, moved.copy()
            found[place] = chosen
        if rank[0] == 0:
            break
    return found


def _orders(width: int, reorder: bool) -> list[tuple[int, ...]]:
    """Orders of a row's places to try, its own order first."""
    if not reorder:
        return [tuple(range(width))]
    return list(permutations(range(width)))


def _cost(
    spare: Int64Array, row: Int32Array, moved: Int32Array, place: int, free: Int64Array
) -> Int64Array:
    """int64[free]: what speaks against each free node at `place` of the row `moved`.

    Counts, for every prefix, who enters without lacking a group there and who leaves without
    having one to spare. In the widest prefix only the new owner enters; that it lacks a group
    there counts most.
    """
    cost = np.zeros(len(free), dtype=np.int64)
    for prefix in range(len(row)):
        was = {node for node in row[: prefix + 1].tolist() if node != HOLE}
        now = {node for node in moved[: prefix + 1].tolist() if node != HOLE}
        cost += sum(2 for node in now - was if spare[prefix, node] >= 0)
        cost += sum(2 for node in was - now if spare[prefix, node] <= 0)
        if place <= prefix:
            weight = _SET_WEIGHT if prefix == len(row) - 1 else 2
            cost += weight * (spare[prefix, free] >= 0)
        else:
            # Better kept for a row where it enters this prefix too.
            cost += spare[prefix, free] < 0
    return cost
