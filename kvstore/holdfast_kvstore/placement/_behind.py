"""Owners of wide rows behind the first places, as far as those places should spare them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, Int32Array
from holdfast_kvstore.placement._domains import BoolArray, Domains, Int64Array


@dataclass(frozen=True, slots=True)
class Behind:
    """The table in force, as wide as it is."""

    domains: Domains
    rows: Int32Array
    """int32[groups, width]."""
    settled: int
    """First places, which are being made anew."""

    def drives_out(self, group: int) -> BoolArray:
        """bool[nodes]: who shares rack or host with an owner behind and is none itself.

        In one of the first places it would cost that owner its own, and another one more move.
        """
        row = self.rows[group]
        out = np.zeros(self.domains.node_count, dtype=np.bool_)
        for kind, places in self._distinct():
            behind = row[self.settled : places]
            out |= np.isin(kind, kind[behind[behind != HOLE]])
        out[row[row != HOLE]] = False
        return out

    def driven_out_by(self, node: int, groups: Int64Array) -> BoolArray:
        """bool[groups]: in which rows `node` drives somebody out."""
        rows = self.rows[groups]
        out = np.zeros(len(groups), dtype=np.bool_)
        for kind, places in self._distinct():
            behind = rows[:, self.settled : places]
            out |= ((kind[behind] == kind[node]) & (behind != HOLE)).any(axis=1)
        out &= ~(rows == node).any(axis=1)
        return out

    def _distinct(self) -> list[tuple[Int64Array, int]]:
        """Racks and hosts of the nodes, and up to which place they must be distinct."""
        domains = self.domains
        return [(domains.racks, domains.rack_places), (domains.hosts, domains.host_places)]
