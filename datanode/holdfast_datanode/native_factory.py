"""Builds the native node that a configuration describes."""

from __future__ import annotations

from holdfast_datanode.config import MIB, DataNodeConfig
from holdfast_datanode.identity import Identity
from holdfast_native import Node


def native_node(config: DataNodeConfig, identity: Identity, incarnation: int) -> Node:
    """The engine and its server, not serving yet. Raises NodeError if memory cannot be had."""
    serving = config.serving
    return Node(
        cluster=identity.cluster_id,
        node=identity.node,
        incarnation=incarnation,
        arena_bytes=config.arena_bytes,
        extent_bytes=config.extent_mib * MIB,
        prefault=config.prefault,
        huge_pages=config.huge_pages,
        reactors=serving.reactors,
        spin_us=serving.spin_us,
        connections_max=serving.connections_max,
        grant_bytes_max=serving.grant_mib_max * MIB,
        tenant_bytes_in_flight_max=serving.tenant_mib_in_flight_max * MIB,
        pin_bytes_max=serving.pin_mib_max * MIB,
        idle_deadline_ms=serving.idle_deadline_ms,
        fault_injection=config.fault_injection,
    )
