"""What the spaces' redundancies survive now, as services send it."""

from __future__ import annotations

from holdfast_kvstore.cluster_map import ClusterMap
from holdfast_kvstore.redundancy import Redundancy
from holdfast_kvstore.spaces import SpaceSpec
from holdfast_kvstore.survival import survival_of
from holdfast_metanode.state.view import StateView
from holdfast_proto import meta_pb2 as meta


def survival_info(cluster_map: ClusterMap, redundancy: Redundancy) -> meta.Survival:
    """Of one redundancy, by this map."""
    found = survival_of(cluster_map, redundancy)
    return meta.Survival(
        redundancy=str(redundancy),
        owners=redundancy.owners,
        failures=redundancy.failures,
        placed=found.placed,
        hosts=found.hosts,
        hosts_now=found.hosts_now,
        racks=found.racks,
        racks_now=found.racks_now,
        groups_lost=found.groups_lost,
    )


class Survivals:
    """Of every redundancy in use; computed anew when map or spaces have changed."""

    def __init__(self) -> None:
        self._version = -1
        self._found: list[meta.Survival] = []

    def of(self, view: StateView) -> list[meta.Survival]:
        """In the order of their names. Raises Unavailable before the cluster was bootstrapped."""
        version = view.counters().view_version
        if version != self._version:
            cluster_map = view.map()
            used = {SpaceSpec.decode(record.spec).redundancy for record in view.spaces()}
            self._found = [survival_info(cluster_map, each) for each in sorted(used, key=str)]
            self._version = version
        return self._found
