"""Weighted rendezvous: which nodes a group prefers, from a hash of group and node alone.

A node's score for a group is an exponential variate of rate `weight`; the lowest score wins, so
that a node of twice the weight wins twice as often, and a node that comes or goes changes the
order of no others. The logarithm is numpy's: the same inputs give the same scores on one build.
The leader computes a table and Raft carries it, so no two nodes need to agree on the last bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.cluster_map import HOLE, Int32Array
from holdfast_kvstore.placement._domains import Domains, Int64Array
from holdfast_kvstore.placement._shares import FloatArray

_CELLS_AT_ONCE = 1 << 21
_GROUP_SALT = np.uint64(0x9E3779B97F4A7C15)
_NODE_SALT = np.uint64(0xD1B54A32D192ED03)


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finaliser: each bit of the input changes half of the output's."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def scores(domains: Domains, groups: Int64Array, nodes: Int64Array) -> FloatArray:
    """float64, of the shape to which `groups` and `nodes` broadcast: the lower is preferred."""
    of_groups = _mix(np.atleast_1d(groups).astype(np.uint64) * _GROUP_SALT + _NODE_SALT)
    of_nodes = _mix(np.atleast_1d(domains.ids[nodes]) * _NODE_SALT + _GROUP_SALT)
    mixed = _mix(of_groups ^ of_nodes)
    uniform = ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    found: FloatArray = -np.log(uniform) / domains.weights[nodes]
    return found


def draw(domains: Domains, group_count: int) -> Int32Array:
    """int32[groups, width]: each group's preferred nodes that make a valid row."""
    rows = np.full((group_count, domains.width), HOLE, dtype=np.int32)
    nodes = np.arange(domains.node_count)
    at_once = max(1, _CELLS_AT_ONCE // domains.node_count)
    for start in range(0, group_count, at_once):
        groups = np.arange(start, min(group_count, start + at_once))
        preference = scores(domains, groups[:, None], nodes[None, :])
        for place in range(domains.width):
            # What this place must differ from the ones before it in, see Domains.
            if place < domains.rack_places:
                kind = domains.racks
            elif place < domains.host_places:
                kind = domains.hosts
            else:
                kind = nodes
            able = preference.copy() if domains.order_matters else preference
            for column in rows[groups, :place].T:
                able[kind[column][:, None] == kind] = np.inf
            rows[groups, place] = able.argmin(axis=1)
    return rows
