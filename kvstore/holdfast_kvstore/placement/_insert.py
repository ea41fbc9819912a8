"""Replacing owners so that one move serves every prefix of a row.

A node that enters a row at some place bumps the owner that stands there; the bumped one goes
back by a place and bumps the next, or is bumped further; who is bumped from the last place leaves.
In every prefix from the entry on, exactly one owner makes room. An insertion is taken if each of
these can spare a group in that prefix, so that nothing has to move twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from holdfast_kvstore.cluster_map import Int32Array
from holdfast_kvstore.placement._domains import Int64Array
from holdfast_kvstore.placement._scores import scores
from holdfast_kvstore.placement._table import Table

PASSES_MAX = 8
"""Rounds over one node; each takes what the bounds of those before left over."""


@dataclass(frozen=True, slots=True)
class _Variant:
    """One way to enter at `place`: whether the bumped owner settles at each place behind it."""

    place: int
    settles: tuple[bool, ...]

    def losers(self, rows: Int32Array) -> Int32Array:
        """int32[groups, width - place]: who makes room in each prefix from `place` on."""
        bumped = rows[:, self.place]
        found = [bumped]
        for behind, settles in enumerate(self.settles, start=self.place + 1):
            bumped = rows[:, behind] if settles else bumped
            found.append(bumped)
        return np.stack(found, axis=1)

    def applied(self, rows: Int32Array, node: int) -> Int32Array:
        """The rows after `node` has entered."""
        after = rows.copy()
        after[:, self.place] = node
        bumped = rows[:, self.place]
        for behind, settles in enumerate(self.settles, start=self.place + 1):
            if settles:
                after[:, behind] = bumped
                bumped = rows[:, behind]
        return after


def insert_needy(table: Table, slacks: Int64Array) -> None:
    """Inserts nodes that have too few groups wherever nothing has to move twice.

    `slacks` [width, nodes]: by how many groups somebody who makes room may come to have too few.
    """
    width = table.domains.width
    variants = [
        _Variant(place, settles)
        for place in range(width)
        for settles in product((False, True), repeat=width - 1 - place)
    ]
    needy = np.flatnonzero(table.set_spare < -table.slack[-1]).tolist()
    if not needy:
        return
    # What can be spared only becomes less: a row that is no candidate now never becomes one.
    every = np.arange(len(table.rows))
    candidates = [_candidates(table, variant, slacks, every) for variant in variants]
    for sparing in (True, False) if table.behind is not None else (False,):
        for node in needy:
            for number, variant in enumerate(variants):
                for _ in range(PASSES_MAX):
                    candidates[number] = _candidates(table, variant, slacks, candidates[number])
                    groups = candidates[number]
                    if sparing and table.behind is not None:
                        groups = groups[~table.behind.driven_out_by(node, groups)]
                    if not _insert(table, variant, slacks, node, groups):
                        break


def _candidates(
    table: Table, variant: _Variant, slacks: Int64Array, groups: Int64Array
) -> Int64Array:
    """Those of `groups` in which everybody who makes room can spare a group."""
    able = np.ones(len(groups), dtype=np.bool_)
    spare = table.spare + slacks
    losers = variant.losers(table.rows[groups])
    for column, prefix in enumerate(range(variant.place, table.domains.width)):
        able &= spare[prefix, losers[:, column]] > 0
    return groups[able]


def _insert(
    table: Table, variant: _Variant, slacks: Int64Array, node: int, groups: Int64Array
) -> int:
    """One round for one node: returns into how many of `groups` it was inserted."""
    wanted = -int(table.spare[variant.place :, node].max())
    if wanted <= 0 or not len(groups):
        return 0
    spare = table.spare + slacks
    rows = table.rows[groups]
    after = variant.applied(rows, node)
    valid = ~table.domains.conflicts(after, variant.place, np.array(node))
    valid &= ~(rows == node).any(axis=1)
    if table.domains.order_matters:
        for place in range(table.domains.width):
            valid &= ~table.domains.conflicts(after, place, after[:, place].astype(np.int64))
    groups, after, losers = groups[valid], after[valid], variant.losers(rows[valid])
    order = np.argsort(scores(table.domains, groups, np.array(node)), kind="stable")
    groups, after, losers = groups[order], after[order], losers[order]
    able = np.ones(len(groups), dtype=np.bool_)
    for column, prefix in enumerate(range(variant.place, table.domains.width)):
        able &= rank_within(losers[:, column]) < spare[prefix, losers[:, column]]
    chosen = np.flatnonzero(able)[:wanted]
    table.put_rows(groups[chosen], after[chosen])
    return len(chosen)


def rank_within(values: Int32Array) -> Int64Array:
    """int64[n]: how many equal values stand before each."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.arange(len(values)) - starts
    return ranks
