"""Exchanges between two rows, for what no reordering of single rows can bring into balance.

With two racks and three owners, most rows have one owner in one of the racks, and that one is
bound to the first two places: how often a node stands there depends on the rows that it is in.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from holdfast_kvstore.placement._domains import Int64Array
from holdfast_kvstore.placement._table import Table


def exchange_rows(table: Table, prefix: int) -> None:
    """Gives owners with too many groups in a prefix the later places of those with too few.

    A node within the prefix of one row and a node behind it in another one take each other's
    places; how many rows each of them is in stays the same.
    """
    width = table.domains.width
    slack = table.slack[prefix]
    spare = table.spare[prefix]
    off = np.abs(spare) > slack
    for giver in np.flatnonzero(spare > 0).tolist():
        for taker in np.flatnonzero((spare < 0) & (off | off[giver])).tolist():
            for place, behind in product(range(prefix, -1, -1), range(prefix + 1, width)):
                now = table.spare[prefix]
                wanted = min(int(now[giver]), -int(now[taker]))
                if wanted <= 0:
                    break
                giving = _rows_free_for(table, giver, place, taker)
                taking = _rows_free_for(table, taker, behind, giver)
                # A row that holds both is free for neither, so no row is in both lists.
                count = min(wanted, len(giving), len(taking))
                table.put(giving[:count], place, taker)
                table.put(taking[:count], behind, giver)


def _rows_free_for(table: Table, owner: int, place: int, other: int) -> Int64Array:
    """int64[n]: rows with `owner` at `place` in which `other` could stand there."""
    mine = np.flatnonzero(table.rows[:, place] == owner)
    return mine[~table.domains.conflicts(table.rows[mine], place, np.array(other))]
