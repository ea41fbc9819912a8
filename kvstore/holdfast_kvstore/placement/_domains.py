"""Failure domains of the nodes that may own groups, as arrays, and which rows they allow.

A row is valid if its first `rack_places` nodes lie in distinct racks, its first `host_places` on
distinct hosts, and all are distinct. These are as many as the cluster has racks and hosts for, so
that a small cluster falls back to hosts and then to nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.cluster_map import HOLE, Int32Array, Node

Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Domains:
    """The nodes that own groups, in the order of their ids; index n is the same node throughout."""

    ids: npt.NDArray[np.uint64]
    weights: npt.NDArray[np.float64]
    racks: Int64Array
    """int64[nodes]: number of the node's rack."""
    hosts: Int64Array
    """int64[nodes]: number of the node's host."""
    slots: Int64Array
    """int64[nodes]: index of the node in the list that the caller gave."""
    width: int
    """Owners of each group: as many as asked for, or as there are nodes."""
    rack_places: int
    host_places: int

    @classmethod
    def of(cls, nodes: Sequence[Node], width: int) -> Domains:
        """Domains of those of `nodes` that own groups, for rows of `width` owners."""
        order = sorted((node.id, slot) for slot, node in enumerate(nodes) if node.owns)
        slots = [slot for _, slot in order]
        racks: dict[str, int] = {}
        hosts: dict[tuple[str, str | int], int] = {}
        for slot in slots:
            node = nodes[slot]
            racks.setdefault(node.rack, len(racks))
            hosts.setdefault((node.rack, node.host or node.id), len(hosts))
        found = [nodes[slot] for slot in slots]
        return cls(
            ids=np.array([node.id for node in found], dtype=np.uint64),
            weights=np.array([node.weight for node in found], dtype=np.float64),
            racks=np.array([racks[node.rack] for node in found], dtype=np.int64),
            hosts=np.array(
                [hosts[node.rack, node.host or node.id] for node in found], dtype=np.int64
            ),
            slots=np.array(slots, dtype=np.int64),
            width=min(width, len(found)),
            rack_places=min(width, len(racks), len(found)),
            host_places=min(width, len(hosts), len(found)),
        )

    @property
    def node_count(self) -> int:
        """Nodes that own groups."""
        return len(self.ids)

    @property
    def order_matters(self) -> bool:
        """Whether a valid row can become invalid by another order of its nodes."""
        return 1 < self.rack_places < self.width or 1 < self.host_places < self.width

    def conflicts(self, rows: Int32Array, place: int, nodes: Int64Array) -> BoolArray:
        """bool[n]: whether nodes[i] at `place` would make rows[i] invalid.

        The node that is at `place` now does not count. `nodes` is int64[n] or one node.
        """
        found = np.zeros(len(rows), dtype=np.bool_)
        racks, hosts = self.racks[nodes], self.hosts[nodes]
        for other in range(rows.shape[1]):
            if other == place:
                continue
            theirs = rows[:, other]
            taken = theirs == nodes
            if max(place, other) < self.host_places:
                taken |= self.hosts[theirs] == hosts
            if max(place, other) < self.rack_places:
                taken |= self.racks[theirs] == racks
            found |= taken & (theirs != HOLE)
        return found

    def free_of(self, row: Int32Array, place: int) -> BoolArray:
        """bool[nodes]: which nodes may stand at `place` of one row."""
        free = np.ones(self.node_count, dtype=np.bool_)
        for other, node in enumerate(row.tolist()):
            if other == place or node == HOLE:
                continue
            free[node] = False
            if max(place, other) < self.host_places:
                free &= self.hosts != self.hosts[node]
            if max(place, other) < self.rack_places:
                free &= self.racks != self.racks[node]
        return free

    def is_valid(self, row: list[int]) -> bool:
        """Whether one row is valid, whatever its holes."""
        for kind, places in (
            (self.racks, self.rack_places),
            (self.hosts, self.host_places),
            (None, len(row)),
        ):
            head = [node for node in row[:places] if node != HOLE]
            distinct = set(head) if kind is None else {int(kind[node]) for node in head}
            if len(distinct) < len(head):
                return False
        return True
