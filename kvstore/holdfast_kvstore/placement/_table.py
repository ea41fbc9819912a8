"""The table being balanced: rows of nodes, and how many groups each node has by place."""

from __future__ import annotations

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, Int32Array
from holdfast_kvstore.placement._behind import Behind
from holdfast_kvstore.placement._domains import BoolArray, Domains, Int64Array

SLACK = 0.02
"""Part of its groups by which a node of a table in use may be off before groups move for it."""


class Table:
    """Rows of node indices with running loads and goals. Rows change only through its methods."""

    def __init__(
        self,
        domains: Domains,
        rows: Int32Array,
        before: Int32Array | None,
        goals: Int64Array,
        behind: Behind | None = None,
    ) -> None:
        self.domains = domains
        self.rows = rows
        self.before = before
        """The rows as they were, to see what costs no further movement; None: all is new."""
        self.goals = goals
        """int64[width, nodes]: groups that each node should have among the first w + 1 owners."""
        self.behind = behind
        """What stands behind these places in wider rows; None: nothing."""
        self.place_loads = place_loads(domains, rows)

    @property
    def prefix_loads(self) -> Int64Array:
        """int64[width, nodes]: groups with the node among the first w + 1 owners."""
        return np.cumsum(self.place_loads, axis=0)

    @property
    def spare(self) -> Int64Array:
        """int64[width, nodes]: groups above the goal; negative: missing."""
        return self.prefix_loads - self.goals

    @property
    def set_spare(self) -> Int64Array:
        """int64[nodes]: groups above the goal at any place; negative: missing."""
        spare: Int64Array = self.place_loads.sum(axis=0) - self.goals[-1]
        return spare

    @property
    def slack(self) -> Int64Array:
        """int64[width, nodes]: groups by which a node may be off before anything moves for it."""
        part = 0.0 if self.before is None else SLACK
        slack: Int64Array = (self.goals * part).astype(np.int64)
        return slack

    def put(self, groups: Int64Array, place: int, node: int) -> None:
        """Makes `node` the owner at `place` of `groups`, each named once."""
        before = self.rows[groups, place]
        np.subtract.at(self.place_loads[place], before[before != HOLE], 1)
        self.rows[groups, place] = node
        self.place_loads[place, node] += len(groups)

    def put_rows(self, groups: Int64Array, rows: Int32Array) -> None:
        """Replaces whole rows, each named once."""
        for place in range(self.domains.width):
            old, new = self.rows[groups, place], rows[:, place]
            np.subtract.at(self.place_loads[place], old[old != HOLE], 1)
            np.add.at(self.place_loads[place], new[new != HOLE], 1)
        self.rows[groups] = rows

    def swap(self, group: int, first: int, second: int) -> None:
        """Exchanges two places of one row."""
        a, b = int(self.rows[group, first]), int(self.rows[group, second])
        self.rows[group, first], self.rows[group, second] = b, a
        self.place_loads[first, a] -= 1
        self.place_loads[first, b] += 1
        self.place_loads[second, b] -= 1
        self.place_loads[second, a] += 1

    def fresh(self) -> BoolArray:
        """bool[groups, width]: owners that moved already; replacing them moves nothing more."""
        if self.before is None:
            return np.ones(self.rows.shape, dtype=np.bool_)
        return ~was_among(self.before, self.rows)


def was_among(before: Int32Array, nodes: Int32Array) -> BoolArray:
    """bool, of the shape of `nodes` [groups, n]: which of them stand in their row of `before`."""
    found: BoolArray = (before[:, None, :] == nodes[:, :, None]).any(axis=2)
    return found


def place_loads(domains: Domains, rows: Int32Array) -> Int64Array:
    """int64[width, nodes]: groups with the node at each place."""
    found = [np.bincount(column[column != HOLE], minlength=domains.node_count) for column in rows.T]
    return np.array(found, dtype=np.int64)
