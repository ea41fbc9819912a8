"""The seam between this package and the native node: what the daemon asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

SpaceTerms = tuple[int, int, int, int, int]
"""Of a space: tenant, bytes that a node stores of a block, ttl_s, priority, owners of a block."""


class Serving(Protocol):
    """What a new view of the cluster changes in the node that serves."""

    def set_ticket_keys(self, keys: Sequence[tuple[int, bytes]]) -> None:
        """Replaces the (key id, 32-byte public key) pairs that tickets are checked with."""

    def set_route(self, epoch: int, group_count: int, owned: bytes) -> None:
        """Installs which groups this node owns: a bitmap for each place, the first place first, bit
        g of byte g // 8."""

    def drop_space(self, space: int) -> None:
        """Drops every block of a space."""

    def set_tenant_limit(self, tenant: int, limit_bytes: int | None) -> None:
        """Bounds what a tenant may hold here; None: nothing but the arena."""

    def retain_groups(self, group_count: int, keep: bytes) -> bool:
        """Drops some blocks whose group's bit is not set; True at the end of a walk over all."""


class BlockMover(Protocol):
    """What background work does with blocks. Each call is bounded."""

    def retain_groups(self, group_count: int, keep: bytes) -> bool:
        """Drops some blocks whose group's bit is not set; True when none is left."""

    def sweep(self) -> int:
        """Drops some expired blocks; returns how many."""

    def pull(
        self,
        peer_address: str,
        peer_node: int,
        ticket: bytes,
        group_count: int,
        groups: bytes,
        cursor: int,
        bytes_max: int,
        deadline_ms: int,
        spaces: Mapping[int, SpaceTerms],
    ) -> tuple[int, int, int]:
        """Copies blocks of `groups` from a peer: (next cursor, 0 at the end; blocks; bytes)."""


class HasStats(Protocol):
    """Counters and gauges by name."""

    def stats(self) -> dict[str, Any]:
        """Counters since start and gauges now; `tenants` maps numbers to bytes used."""
