"""One place of wide rows: who stands there, who could stand there instead, and what that costs.

Places beyond the third are made one after the other, each for all groups at once. What stands
before a place is settled by then and is not touched any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, Int32Array
from holdfast_kvstore.placement._domains import BoolArray, Domains, Int64Array
from holdfast_kvstore.placement._scores import scores
from holdfast_kvstore.placement._shares import FloatArray

_TIGHT = 1e-9
_CELLS_AT_ONCE = 1 << 21


@dataclass(slots=True)
class Column:
    """The place being made. Its owners change only through `put`."""

    domains: Domains
    place: int
    rows: Int32Array
    """int32[groups, width]: settled before `place`, holes behind it."""
    before: Int32Array | None
    """The rows as they were; None: all is new."""
    goal: Int64Array
    """int64[nodes]: groups that each node should have among the first place + 1 owners."""
    loads: Int64Array
    """int64[nodes]: groups that each node has there now."""
    slack: Int64Array
    """int64[nodes]: groups by which a node may be off before anything moves for it."""
    limits: list[tuple[Int64Array, Int64Array]]
    """(rack or host of each node, owners that it may have in one row up to here)."""
    needed: BoolArray
    """bool[nodes]: those whose rack, host or self must be in every row in the end."""
    urgent: BoolArray
    """bool[groups]: rows with no more places left than they lack of those, where one fits here."""

    @classmethod
    def of(
        cls,
        domains: Domains,
        place: int,
        rows: Int32Array,
        before: Int32Array | None,
        goal: Int64Array,
        shares: FloatArray,
        slack: float,
        end: int,
    ) -> Column:
        """The column at `place`, all holes yet. `shares` [width, nodes]: groups of each node.

        Rows are made to be whole at `end` places.
        """
        settled = rows[:, :place]
        loads = np.bincount(settled[settled != HOLE], minlength=domains.node_count)
        limits = [
            (kind, _most(kind, shares[place], len(rows)))
            for kind, places in (
                (domains.racks, domains.rack_places),
                (domains.hosts, domains.host_places),
            )
            if places <= place
        ]
        needed, lacking = _needed(domains, settled, shares[end - 1], end)
        column = cls(
            domains=domains,
            place=place,
            rows=rows,
            before=before,
            goal=goal,
            loads=loads.astype(np.int64),
            slack=(goal * slack).astype(np.int64),
            limits=limits,
            needed=needed,
            urgent=np.zeros(len(rows), dtype=np.bool_),
        )
        for groups in column.pieces(np.flatnonzero(lacking >= end - place)):
            able = column.free_nodes(groups, spread=False)[:, needed].any(axis=1)
            column.urgent[groups[able]] = True
        return column

    def pieces(self, groups: Int64Array) -> Iterator[Int64Array]:
        """`groups` in parts for which a number for each of their nodes takes little memory."""
        at_once = max(1, _CELLS_AT_ONCE // self.domains.node_count)
        for start in range(0, len(groups), at_once):
            yield groups[start : start + at_once]

    @property
    def owners(self) -> Int32Array:
        """int32[groups]: who stands at this place."""
        return self.rows[:, self.place]

    @property
    def spare(self) -> Int64Array:
        """int64[nodes]: groups above the goal; negative: missing."""
        return self.loads - self.goal

    def put(self, groups: Int64Array, nodes: Int32Array) -> None:
        """Makes nodes[i] the owner of groups[i], each named once."""
        old = self.rows[groups, self.place]
        np.subtract.at(self.loads, old[old != HOLE], 1)
        np.add.at(self.loads, nodes[nodes != HOLE], 1)
        self.rows[groups, self.place] = nodes

    def free_nodes(self, groups: Int64Array, *, spread: bool) -> BoolArray:
        """bool[groups, nodes]: who may stand here in each of `groups`.

        spread: also that a rack and host have no more owners in a row than their part of it.
        """
        settled = self.rows[groups, : self.place]
        free: BoolArray = (_present(self._kind, settled) == 0)[:, self._kind]
        free &= ~self.urgent[groups][:, None] | self.needed
        if spread:
            for kind, most in self.limits:
                free &= (_present(kind, settled) < most)[:, kind]
        return free

    def is_free(self, groups: Int64Array, nodes: Int64Array, *, spread: bool) -> BoolArray:
        """bool[n]: whether nodes[i] may stand here in groups[i]; `spread` as for `free_nodes`."""
        settled = self.rows[groups, : self.place]
        present = settled != HOLE
        kind = self._kind
        free: BoolArray = ~((kind[settled] == kind[nodes][:, None]) & present).any(axis=1)
        free &= ~self.urgent[groups] | self.needed[nodes]
        if spread:
            for domain, most in self.limits:
                same = (domain[settled] == domain[nodes][:, None]) & present
                free &= same.sum(axis=1) < most[domain[nodes]]
        return free

    @property
    def _kind(self) -> Int64Array:
        """int64[nodes]: what must differ from everything before this place."""
        if self.place < self.domains.rack_places:
            return self.domains.racks
        if self.place < self.domains.host_places:
            return self.domains.hosts
        return np.arange(self.domains.node_count)

    def costs_of_all(self, groups: Int64Array) -> Int64Array:
        """int64[groups, nodes]: what moves if a node stands here.

        0: it stood in the row up to here. 1: further behind, so that only rows cut short here
        change. 4: it is new. 8: it is new and drives out an owner of its rack or host behind it.
        """
        shape = (len(groups), self.domains.node_count)
        if self.before is None:
            return np.zeros(shape, dtype=np.int64)
        found = np.full(shape, 4, dtype=np.int64)
        old = self.before[groups]
        for kind, places in self._distinct_behind():
            found[(_present(kind, old[:, self.place + 1 : places]) > 0)[:, kind]] = 8
        for cost, nodes in ((1, old[:, self.place + 1 :]), (0, old[:, : self.place + 1])):
            for column in nodes.T:
                known = np.flatnonzero(column != HOLE)
                found[known, column[known]] = cost
        return found

    def costs(self, groups: Int64Array, nodes: Int64Array) -> Int64Array:
        """int64[n]: what moves if nodes[i] stands here in groups[i], as `costs_of_all` has it."""
        if self.before is None:
            return np.zeros(len(groups), dtype=np.int64)
        old = self.before[groups]
        same = old == nodes[:, None]
        found = np.full(len(groups), 4, dtype=np.int64)
        for kind, places in self._distinct_behind():
            behind = old[:, self.place + 1 : places]
            clash = (kind[behind] == kind[nodes][:, None]) & (behind != HOLE)
            found[clash.any(axis=1)] = 8
        found[same.any(axis=1)] = 1
        found[same[:, : self.place + 1].any(axis=1)] = 0
        return found

    def _distinct_behind(self) -> list[tuple[Int64Array, int]]:
        """Racks and hosts of the nodes, and up to which place they must be distinct."""
        domains = self.domains
        return [(domains.racks, domains.rack_places), (domains.hosts, domains.host_places)]

    def by_preference(self, groups: Int64Array, node: int) -> Int64Array:
        """`groups` in the order in which `node` should take them over from their present owners."""
        costs = self.costs(groups, np.full(len(groups), node, dtype=np.int64))
        costs -= self.costs(groups, self.owners[groups].astype(np.int64))
        order = np.lexsort((scores(self.domains, groups, np.array(node)), costs))
        return groups[order]


def _most(kind: Int64Array, share: FloatArray, group_count: int) -> Int64Array:
    """int64[kinds]: the most owners of one rack or host in a row, if rows are as even as can be."""
    totals = np.bincount(kind, share, int(kind.max()) + 1) / group_count
    most: Int64Array = np.ceil(totals - _TIGHT).astype(np.int64)
    return most


def _present(kind: Int64Array, rows: Int32Array) -> Int64Array:
    """int64[groups, kinds]: owners of each rack, host or node in the rows."""
    count = int(kind.max()) + 1
    group, place = np.nonzero(rows != HOLE)
    cells = group * count + kind[rows[group, place]]
    return np.bincount(cells, minlength=len(rows) * count).reshape(len(rows), count)


def _needed(
    domains: Domains, settled: Int32Array, share: FloatArray, end: int
) -> tuple[BoolArray, Int64Array]:
    """Which nodes are of a kind that every whole row needs, and how many of those rows lack."""
    kind = np.arange(domains.node_count)
    if domains.rack_places >= end:
        kind = domains.racks
    elif domains.host_places >= end:
        kind = domains.hosts
    needed = np.bincount(kind, share) / len(settled) > 1 - _TIGHT
    # A row has no two owners of one kind.
    present = (needed[kind[settled]] & (settled != HOLE)).sum(axis=1)
    return needed[kind], int(needed.sum()) - present
