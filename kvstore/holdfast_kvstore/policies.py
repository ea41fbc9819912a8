"""Limits and default times on which both sides of the KV tier agree."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds. Those of the block protocol equal the native crate `wire`'s (tested)."""

    keys_per_request_max: int = 65_536
    """Keys in one request to one data node (`wire`)."""
    payload_bytes_max: int = 1 << 30
    """Payload bytes of one frame (`wire`)."""
    body_bytes_max: int = 4 << 20
    """Bytes of a frame's body (`wire`)."""
    requests_in_flight_max: int = 256
    """Unanswered requests of one connection (`wire`)."""
    deadline_ms_max: int = 600_000
    """Longest time that a request may state, milliseconds (`wire`)."""
    block_bytes_max: int = 16 << 20
    """Bytes of what a node stores of one block: at most one extent of the default size."""
    cut_block_bytes_max: int = 256 << 20
    """Bytes of one block that is cut into shards."""
    keys_per_batch_max: int = 65_536
    """Keys in one call of the client library, over all nodes."""
    key_bytes_max: int = 4_096
    """Bytes of one opaque key."""
    copies_max: int = 3
    """Whole copies of a block."""
    data_shards_max: int = 32
    """Data shards into which a block is cut."""
    parity_shards_max: int = 8
    """Parity shards of a block."""
    owners_max: int = 40
    """Owners of a group: width of the cluster map's rows."""
    groups_max: int = 1 << 20
    """Placement groups of one cluster."""
    places_max: int = 3 << 20
    """Groups times the width of their rows: two bytes each in one command of the Raft log."""
    groups_per_node_planned: int = 100
    """Placement groups at creation for each node that the cluster is planned to have."""
    nodes_max: int = 4_096
    """Data nodes of one cluster map."""
    name_bytes_max: int = 128
    """Bytes of a tenant's or space's name."""
    fingerprint_bytes_max: int = 1_024
    """Bytes of a space's fingerprint."""
    label_bytes_max: int = 256
    """Bytes of a host label, rack label, address or path in the cluster map."""


@dataclass(frozen=True, slots=True)
class Times:
    """Default times; every one can be configured where it is used."""

    get_deadline_ms: int = 2_000
    """match, exists and get."""
    put_deadline_ms: int = 5_000
    """put, delete and pin."""
    metadata_deadline_ms: int = 5_000
    """One command or read at the metadata cluster, redirects included."""
    heartbeat_interval_ms: int = 500
    """From one heartbeat of a data node to the next."""
    down_after_ms: int = 3_000
    """Silence after which a data node is marked down and not asked."""
    out_after_ms: int = 300_000
    """Silence after which a data node is out and its groups are remapped."""
    ticket_life_s: int = 600
    """From a ticket's issue to its end, seconds."""
    credential_skew_s: int = 60
    """Largest difference of clocks at which a request credential still holds, seconds."""


LIMITS = Limits()
TIMES = Times()
