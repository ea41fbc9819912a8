"""When groups must be given to other nodes, and to which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Int32Array
from holdfast_kvstore.placement import place

_Signature = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A table that differs from the present one."""

    base_epoch: int
    owners: Int32Array
    """int32[group_count, width]: indices into the nodes of the map of `base_epoch`."""


class PlacementPlanner:
    """Plans once for each set of owning nodes; waits until joins have settled."""

    def __init__(self, settle_ms: int) -> None:
        self._settle_ms = settle_ms
        self._planned: _Signature | None = None
        self._seen: _Signature | None = None
        self._seen_at_ms = 0

    def is_due(self, cluster_map: ClusterMap, now_ms: int) -> bool:
        """Whether `plan` should look at this map now."""
        signature = _signature(cluster_map)
        if signature == self._planned:
            return False
        if signature != self._seen:
            self._seen, self._seen_at_ms = signature, now_ms
        nothing_owned = not (cluster_map.owners != HOLE).any()
        return nothing_owned or now_ms - self._seen_at_ms >= self._settle_ms

    def plan(self, cluster_map: ClusterMap) -> Plan | None:
        """What must change, or None. Pure, may take seconds for thousands of nodes."""
        owners = place(
            cluster_map.nodes, cluster_map.group_count, cluster_map.width, cluster_map.owners
        )
        if np.array_equal(owners, cluster_map.owners):
            return None
        return Plan(cluster_map.epoch, owners)

    def planned(self, cluster_map: ClusterMap) -> None:
        """The plan for this map is in force, or none was needed."""
        self._planned = _signature(cluster_map)

    def forget(self) -> None:
        """Another member may have planned meanwhile."""
        self._planned = self._seen = None


def _signature(cluster_map: ClusterMap) -> _Signature:
    """All that placement depends on."""
    owning = tuple(
        (node.id, node.weight, node.host, node.rack) for node in cluster_map.nodes if node.owns
    )
    return (cluster_map.group_count, cluster_map.width, owning)
