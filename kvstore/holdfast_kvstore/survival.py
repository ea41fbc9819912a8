"""How many failures the blocks of a space survive where the cluster map places them.

The map knows where blocks are to lie and which nodes are up. Whether a block was evicted, or has
not been moved yet, it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Int32Array, Node, NodeState
from holdfast_kvstore.redundancy import Redundancy

_Int64Array = npt.NDArray[np.int64]
_CELLS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True)
class Survival:
    """The least over all groups. `now`: without the nodes that are down."""

    placed: int
    """Owners of a block that there are, of those that its redundancy asks for."""
    hosts: int
    """Hosts that may fail, whichever they are, before a block is lost."""
    hosts_now: int
    """Further hosts that may fail now."""
    racks: int
    racks_now: int
    groups_lost: int
    """Groups with too few owners up to read their blocks now."""


def survival_of(map_: ClusterMap, redundancy: Redundancy) -> Survival:
    """What the blocks of this redundancy survive."""
    owners = map_.owners[:, : redundancy.owners]
    placed = int((owners != HOLE).sum(axis=1).min())
    is_up = np.array([node.state is NodeState.UP for node in map_.nodes] + [False])
    up = np.where(is_up[owners], owners, HOLE).astype(np.int32)
    hosts, racks = _hosts(map_.nodes), _racks(map_.nodes)
    return Survival(
        placed=placed,
        hosts=_tolerated(hosts, owners, redundancy.data),
        hosts_now=_tolerated(hosts, up, redundancy.data),
        racks=_tolerated(racks, owners, redundancy.data),
        racks_now=_tolerated(racks, up, redundancy.data),
        groups_lost=int(((up != HOLE).sum(axis=1) < redundancy.data).sum()),
    )


def _hosts(nodes: tuple[Node, ...]) -> _Int64Array:
    return _numbered([(node.rack, node.host or node.id) for node in nodes])


def _racks(nodes: tuple[Node, ...]) -> _Int64Array:
    return _numbered([node.rack for node in nodes])


def _numbered(labels: list[object]) -> _Int64Array:
    """int64[nodes + 1]: a number for each label; the last one, of a hole, is -1."""
    numbers: dict[object, int] = {}
    found = [numbers.setdefault(label, len(numbers)) for label in labels]
    return np.array([*found, -1], dtype=np.int64)


def _tolerated(domain: _Int64Array, owners: Int32Array, data: int) -> int:
    """How many hosts or racks may fail, whichever, so that `data` owners of each row are left."""
    at_once = max(1, _CELLS_AT_ONCE // owners.shape[1] ** 2)
    pieces = range(0, len(owners), at_once)
    return min(_least(domain[owners[start : start + at_once]], data) for start in pieces)


def _least(domains: _Int64Array, data: int) -> int:
    present = domains >= 0
    same = (domains[:, :, None] == domains[:, None, :]) & present[:, None, :]
    # Each domain counts once, where it stands first; those that take most with them fail first.
    first = present & ~np.tril(same, -1).any(axis=2)
    losses = -np.sort(-np.where(first, same.sum(axis=2), 0), axis=1)
    spare = present.sum(axis=1) - data
    tolerated = (np.cumsum(losses, axis=1) <= spare[:, None]) & (losses > 0)
    return int(tolerated.sum(axis=1).min())
