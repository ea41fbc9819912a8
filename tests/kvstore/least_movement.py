"""The least that must move when a table is to fit a changed cluster, by linear programming.

An oracle for small clusters: it knows nothing of how tables are made. Unknown is how many groups
of each present row get which new row; every node's load is its share, in every prefix.
"""

from collections import Counter
from itertools import permutations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, vstack

from holdfast_kvstore import Node
from holdfast_kvstore.cluster_map import Int32Array
from holdfast_kvstore.placement import shares

Row = tuple[int, ...]


def least_total_movement(nodes: list[Node], owners: Int32Array, slack: float) -> float:
    """Groups that move in all prefixes together, if each load is within `slack` of its share.

    `owners` [groups, width] is the table before; its indices are those of `nodes`, all of which
    own groups. A bound from below: groups may be divided. No more than two owners of a row change.
    """
    groups, width = owners.shape
    present = Counter(tuple(row) for row in owners.tolist())
    rows = [r for r in permutations(range(len(nodes)), width) if _is_valid(nodes, r)]
    ways = [
        (number, row)
        for number, old in enumerate(present)
        for row in rows
        if len(set(row) - set(old)) <= 2
    ]
    old_rows = list(present)
    costs = [_moved(old_rows[number], row) for number, row in ways]
    used = [(number, way) for way, (number, _) in enumerate(ways)]
    loaded = [
        (prefix * len(nodes) + node, way)
        for way, (_, row) in enumerate(ways)
        for prefix in range(width)
        for node in row[: prefix + 1]
    ]
    share = shares(nodes, groups, width).reshape(-1)
    room = slack * share + 1e-6
    loads = _matrix(loaded, (len(share), len(ways)))
    found = linprog(
        costs,
        A_ub=vstack([loads, -loads]),
        b_ub=np.concatenate([share + room, room - share]),
        A_eq=_matrix(used, (len(present), len(ways))),
        b_eq=list(present.values()),
        method="highs",
    )
    assert found.status == 0, found.message
    return float(found.fun)


def _matrix(ones: list[tuple[int, int]], shape: tuple[int, int]) -> coo_array:
    at = np.array(ones).T
    return coo_array((np.ones(len(ones)), (at[0], at[1])), shape=shape)


def _moved(old: Row, new: Row) -> int:
    return sum(len(set(new[:end]) - set(old[:end])) for end in range(1, len(new) + 1))


def _is_valid(nodes: list[Node], row: Row) -> bool:
    """Distinct racks as far as there are as many, then distinct hosts."""
    racks = [node.rack for node in nodes]
    hosts = [(node.rack, node.host or node.id) for node in nodes]
    for kind in (racks, hosts):
        head = [kind[node] for node in row[: len(set(kind))]]
        if len(set(head)) < len(head):
            return False
    return True
