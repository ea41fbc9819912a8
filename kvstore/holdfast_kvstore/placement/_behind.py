"""Owners of wide rows behind the first places, as far as those places should spare them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, Int32Array
from holdfast_kvstore.placement._domains import BoolArray, Domains


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
        for kind, places in (
            (self.domains.racks, self.domains.rack_places),
            (self.domains.hosts, self.domains.host_places),
        ):
            behind = row[self.settled : places]
            out |= np.isin(kind, kind[behind[behind != HOLE]])
        out[row[row != HOLE]] = False
        return out
