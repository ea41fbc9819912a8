"""When groups must be given to other nodes, and to which."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Int32Array, Node, NodeState
from holdfast_kvstore.placement import place

_Signature = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A table that differs from the present one."""

    base_epoch: int
    owners: Int32Array
    """int32[group_count, width]: indices into the nodes of the map of `base_epoch`."""


class PlacementPlanner:
    """Plans once for each set of owning nodes; waits until joins have settled.

    A node that is down keeps its groups and is given no others; one that owns none, because it
    has not served yet or was out, takes part once it is up.
    """

    def __init__(self, settle_ms: int) -> None:
        self._settle_ms = settle_ms
        self._planned: _Signature | None = None
        self._seen: _Signature | None = None
        self._seen_at_ms = 0
        self._held_back: frozenset[int] = frozenset()
        """Nodes that were down when the last plan would have given them groups."""

    def is_due(self, cluster_map: ClusterMap, now_ms: int) -> bool:
        """Whether `plan` should look at this map now."""
        signature = _signature(cluster_map)
        if signature == self._planned and not self._is_back(cluster_map):
            return False
        if signature != self._seen:
            self._seen, self._seen_at_ms = signature, now_ms
        return _has_places_to_fill(cluster_map) or now_ms - self._seen_at_ms >= self._settle_ms

    def plan(self, cluster_map: ClusterMap) -> Plan | None:
        """What must change, or None. Pure, may take seconds for thousands of nodes."""
        taking = _taking(cluster_map)
        owners = _place(cluster_map, taking)
        down = [slot for slot in _slots_down(cluster_map) if taking[slot].owns]
        gaining = _gained(cluster_map.owners, owners, down)
        self._held_back = frozenset(
            cluster_map.nodes[slot].id for slot in down if (owners[gaining] == slot).any()
        )
        if gaining.size:
            alive = [_without_groups(n) if slot in down else n for slot, n in enumerate(taking)]
            instead = _place(cluster_map, alive)
            owners = owners.copy()
            for group in gaining.tolist():
                owners[group] = _row(
                    cluster_map.owners[group].tolist(),
                    owners[group].tolist(),
                    instead[group].tolist(),
                    down,
                )
        if np.array_equal(owners, cluster_map.owners):
            return None
        return Plan(cluster_map.epoch, owners)

    def planned(self, cluster_map: ClusterMap) -> None:
        """The plan for this map is in force, or none was needed."""
        self._planned = _signature(cluster_map)

    def _is_back(self, cluster_map: ClusterMap) -> bool:
        return any(
            node.state is NodeState.UP and node.id in self._held_back for node in cluster_map.nodes
        )

    def forget(self) -> None:
        """Another member may have planned meanwhile."""
        self._planned = self._seen = None
        self._held_back = frozenset()


def _taking(cluster_map: ClusterMap) -> list[Node]:
    """The nodes, with weight 0 for those that are down and own nothing."""
    owning = set(np.unique(cluster_map.owners).tolist())
    return [
        node if node.state is not NodeState.DOWN or slot in owning else _without_groups(node)
        for slot, node in enumerate(cluster_map.nodes)
    ]


def _has_places_to_fill(cluster_map: ClusterMap) -> bool:
    """Whether rows have places that no row uses, and nodes for them: somebody waits for that."""
    used = int((cluster_map.owners != HOLE).any(axis=0).sum())
    owning = sum(slot != HOLE for slot in np.unique(cluster_map.owners).tolist())
    able = owning or sum(node.owns for node in _taking(cluster_map))
    return used < min(cluster_map.width, able)


def _without_groups(node: Node) -> Node:
    return replace(node, weight=0)


def _slots_down(cluster_map: ClusterMap) -> list[int]:
    return [slot for slot, n in enumerate(cluster_map.nodes) if n.state is NodeState.DOWN]


def _place(cluster_map: ClusterMap, nodes: list[Node]) -> Int32Array:
    return place(nodes, cluster_map.group_count, cluster_map.width, cluster_map.owners)


def _gained(before: Int32Array, after: Int32Array, slots: list[int]) -> npt.NDArray[np.int64]:
    """int64[n]: groups in which one of `slots` stands further in front than before."""
    gained = np.zeros(len(after), dtype=np.bool_)
    for slot in slots:
        ahead_before = np.logical_or.accumulate(before == slot, axis=1)
        gained |= ((after == slot) & ~ahead_before).any(axis=1)
    return np.flatnonzero(gained).astype(np.int64)


def _row(before: list[int], wanted: list[int], instead: list[int], down: list[int]) -> list[int]:
    """Owners of a group in which nodes that are down keep the places that they had, at most."""
    kept = {place: slot for place, slot in enumerate(before) if slot in down and slot in wanted}
    alive = dict.fromkeys(s for s in (*wanted, *instead) if s != HOLE and s not in down)
    if not alive:
        return wanted  # the blocks wait where they are until one of these is back
    rest = iter(alive)
    row = [kept[place] if place in kept else next(rest, HOLE) for place in range(len(wanted))]
    return sorted(row, key=lambda slot: slot == HOLE)  # holes last, else as they are


def _signature(cluster_map: ClusterMap) -> _Signature:
    """All that placement depends on."""
    owning = tuple(
        (node.id, node.weight, node.host, node.rack) for node in _taking(cluster_map) if node.owns
    )
    return (cluster_map.group_count, cluster_map.width, owning)
