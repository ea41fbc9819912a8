"""How many groups each node should have: in proportion to the weights, as far as domains permit.

A rack that weighs more than a third of the cluster cannot own more than one copy of each group of
three, so its share is capped and the others take the rest: water is filled into vessels with a
floor and a cap each, racks first, then hosts, then nodes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.placement._domains import Domains, Int64Array

FloatArray = npt.NDArray[np.float64]
_BISECTIONS = 200
_TIGHT = 1e-9


def fill(total: float, weights: FloatArray, floors: FloatArray, caps: FloatArray) -> FloatArray:
    """float64[n]: clip(level * weights, floors, caps) at the level where the sum is `total`."""
    if total >= caps.sum():
        return caps.copy()
    low, high = 0.0, float((caps / weights).max())
    for _ in range(_BISECTIONS):
        level = (low + high) / 2
        if np.clip(level * weights, floors, caps).sum() < total:
            low = level
        else:
            high = level
        if high - low <= high * 1e-15:
            break
    return np.clip(high * weights, floors, caps)


def group_shares(domains: Domains, group_count: int) -> FloatArray:
    """float64[width, nodes]: groups that each node should have among the first w + 1 owners."""
    node_hosts = domains.hosts
    host_count = int(node_hosts.max()) + 1
    host_racks = np.zeros(host_count, dtype=np.int64)
    host_racks[node_hosts] = domains.racks
    rack_count = int(domains.racks.max()) + 1
    host_weights = np.bincount(node_hosts, domains.weights, host_count).astype(np.float64)
    rack_weights = np.bincount(domains.racks, domains.weights, rack_count).astype(np.float64)
    nodes_of_host = np.bincount(node_hosts, minlength=host_count).astype(np.float64)
    hosts_of_rack = np.bincount(host_racks, minlength=rack_count)
    shares = np.zeros((domains.width, domains.node_count))
    for width in range(1, domains.width + 1):
        host_floors, host_caps = _host_bounds(width, nodes_of_host)
        rack_floors = np.zeros(rack_count)
        rack_caps = np.ones(rack_count)
        if width >= rack_count:
            rack_floors[:] = 1
        if width >= host_count:
            rack_floors = hosts_of_rack.astype(np.float64)
        if width > rack_count:
            most = np.bincount(host_racks, host_caps, rack_count)
            rack_caps = np.minimum(most, width - rack_count + 1)
        of_racks = fill(width, rack_weights, rack_floors, np.maximum(rack_caps, rack_floors))
        of_hosts = _divide(of_racks, host_racks, host_weights, host_floors, host_caps)
        ones = np.ones(domains.node_count)
        of_nodes = _divide(of_hosts, node_hosts, domains.weights, 0 * ones, ones)
        shares[width - 1] = of_nodes * group_count
    return shares


def _host_bounds(width: int, nodes_of_host: FloatArray) -> tuple[FloatArray, FloatArray]:
    host_count = len(nodes_of_host)
    floors = np.full(host_count, 1.0 if width >= host_count else 0.0)
    spare = max(0, width - host_count)
    return floors, np.minimum(nodes_of_host, 1.0 + spare)


def _children(parents: Int64Array, count: int) -> list[Int64Array]:
    """Indices of each parent's children."""
    order = np.argsort(parents, kind="stable")
    return np.split(order, np.cumsum(np.bincount(parents, minlength=count))[:-1])


def _divide(
    totals: FloatArray,
    parents: Int64Array,
    weights: FloatArray,
    floors: FloatArray,
    caps: FloatArray,
) -> FloatArray:
    """Divides each parent's total among its children."""
    found = np.zeros(len(weights))
    for total, mine in zip(totals.tolist(), _children(parents, len(totals)), strict=True):
        if len(mine) == 1:
            found[mine] = total
        else:
            found[mine] = fill(total, weights[mine], floors[mine], caps[mine])
    return found


def whole_goals(domains: Domains, shares: FloatArray, loads: Int64Array) -> Int64Array:
    """int64[width, nodes]: `shares` as whole groups, rounded so that the least must move.

    `loads` [width, nodes] is what the nodes have now. None exceeds the row below it, and a rack or
    host that must be in every group is.
    """
    group_count = round(float(shares[0].sum()))
    goals = np.zeros(shares.shape, dtype=np.int64)
    limit = np.full(shares.shape[1], group_count, dtype=np.int64)
    lean = np.zeros(shares.shape[1], dtype=np.int64)
    for width in range(shares.shape[0] - 1, -1, -1):
        share, load = shares[width], loads[width]
        for mine in _tight_parts(domains, share, group_count):
            goals[width, mine] = _round(share[mine], load[mine], limit[mine], lean[mine])
        limit = goals[width]
        # Who loses a group of the wider prefix loses it here too, so that one move serves both.
        lean = limit - load
    return goals


def _tight_parts(domains: Domains, share: FloatArray, group_count: int) -> list[Int64Array]:
    """The nodes in parts, each of which has a whole number of owners in every group together.

    A host or rack at its cap or floor is a part of its own; the others round as one.
    """
    parts = []
    left = np.ones(domains.node_count, dtype=np.bool_)
    for kind in (domains.hosts, domains.racks):
        count = int(kind.max()) + 1
        owners = np.bincount(kind[left], share[left], count) / group_count
        tight = (np.abs(owners - np.round(owners)) < _TIGHT) & (owners > 0.5)
        parts += [np.flatnonzero(left & (kind == part)) for part in np.flatnonzero(tight)]
        left &= ~tight[kind]
    return [*parts, np.flatnonzero(left)]


def _round(share: FloatArray, load: Int64Array, limit: Int64Array, lean: Int64Array) -> Int64Array:
    """int64[nodes]: whole numbers next to the shares, of the same sum, nearest to the loads."""
    total = round(float(share.sum()))
    base = np.minimum(np.floor(share + 1e-6).astype(np.int64), limit)
    while (missing := total - int(base.sum())) != 0:
        step = 1 if missing > 0 else -1
        able = base < limit if step > 0 else base > 0
        if not able.any():
            break
        fraction = (share - base) * step
        keen = (load - base) * step > 0
        order = np.lexsort((-fraction, -lean * step, ~keen, fraction <= 1e-6, ~able))
        chosen = order[: abs(missing)]
        base[chosen[able[chosen]]] += step
    return base
