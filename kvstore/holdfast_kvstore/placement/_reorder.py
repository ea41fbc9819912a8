"""Other orders of single rows that serve every prefix they change at once.

An owner that moves up takes the place of one that has a group to spare in each prefix it enters.
Rows are taken for as long as both sides need it, so that a new node draws from each old one what
that one is to give, and nobody gives a group only to take another back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from holdfast_kvstore.cluster_map import HOLE
from holdfast_kvstore.placement._domains import BoolArray, Int64Array
from holdfast_kvstore.placement._insert import rank_within
from holdfast_kvstore.placement._table import Table, was_among

PASSES_MAX = 32
"""Rounds of one order over all rows; each takes what the bounds of those before left over."""


@dataclass(frozen=True, slots=True)
class _Exchange:
    """In `prefix`, the owner at place `leaves` makes room for the one at place `enters`."""

    prefix: int
    leaves: int
    enters: int


@dataclass(frozen=True, slots=True)
class _Bounds:
    """How far exchanges go: nobody gives or takes more than what exceeds its slack."""

    giver_slack: Int64Array
    taker_slack: Int64Array
    free_only: bool
    """Whether nothing may move that has not moved already."""


def reorder_rows(table: Table) -> None:
    """Reorders rows where each prefix that changes loses a group to spare to who lacks one.

    At first where nothing moves that has not moved already, then where a node is off by more than
    its slack.
    """
    orders = {order: _exchanges(order) for order in permutations(range(table.domains.width))}
    # What serves most prefixes at once comes first; the order that a row has serves none.
    ranked = sorted(orders.items(), key=lambda item: -len(item[1]))[:-1]
    slack = table.slack
    none = np.zeros_like(slack)
    for bounds in (
        _Bounds(none, none, free_only=True),
        _Bounds(slack, none, free_only=False),
        _Bounds(none, slack, free_only=False),
    ):
        for order, exchanges in ranked:
            for _ in range(PASSES_MAX):
                if not _reorder(table, order, exchanges, bounds):
                    break


def _exchanges(order: tuple[int, ...]) -> list[_Exchange]:
    """Who enters and leaves which prefix when the places of a row are put into `order`."""
    found = []
    for prefix in range(len(order) - 1):
        was, now = set(range(prefix + 1)), set(order[: prefix + 1])
        pairs = zip(sorted(was - now), sorted(now - was), strict=True)
        found += [_Exchange(prefix, leaves, enters) for leaves, enters in pairs]
    return found


def _reorder(
    table: Table, order: tuple[int, ...], exchanges: list[_Exchange], bounds: _Bounds
) -> int:
    """One round of one order: returns how many rows were put into it."""
    gives = table.spare - bounds.giver_slack
    takes = -table.spare - bounds.taker_slack
    able = (table.rows != HOLE).all(axis=1)
    for each in exchanges:
        able &= gives[each.prefix, table.rows[:, each.leaves]] > 0
        able &= takes[each.prefix, table.rows[:, each.enters]] > 0
    groups = np.flatnonzero(able)
    if bounds.free_only:
        groups = groups[_are_free(table, groups, exchanges)]
    rows = table.rows[groups]
    after = rows[:, list(order)]
    if table.domains.order_matters:
        valid = np.ones(len(groups), dtype=np.bool_)
        for place in range(table.domains.width):
            valid &= ~table.domains.conflicts(after, place, after[:, place].astype(np.int64))
        groups, rows, after = groups[valid], rows[valid], after[valid]
    chosen = np.ones(len(groups), dtype=np.bool_)
    for each in exchanges:
        giver, taker = rows[:, each.leaves], rows[:, each.enters]
        chosen &= rank_within(giver) < gives[each.prefix, giver]
        chosen &= rank_within(taker) < takes[each.prefix, taker]
    table.put_rows(groups[chosen], after[chosen])
    return int(chosen.sum())


def _are_free(table: Table, groups: Int64Array, exchanges: list[_Exchange]) -> BoolArray:
    """bool[groups]: whether nothing moves that has not moved already."""
    free = np.ones(len(groups), dtype=np.bool_)
    for each in exchanges:
        if table.before is not None:
            nodes = table.rows[groups][:, [each.leaves, each.enters]]
            was = was_among(table.before[groups, : each.prefix + 1], nodes)
            free &= ~was[:, 0] | was[:, 1]
    return free
