"""A native node in memory: the twin behind the seams of `holdfast_datanode.native_node`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from holdfast_datanode.native_node import SpaceTerms
from holdfast_native import NodeError


def groups_in(bitmap: bytes) -> set[int]:
    """The groups whose bits are set."""
    bits = np.unpackbits(np.frombuffer(bitmap, dtype=np.uint8), bitorder="little")
    return set(np.flatnonzero(bits).tolist())


def owned_by_place(owned: bytes, group_count: int) -> list[set[int]]:
    """The groups that a route's bitmaps name, the first place first."""
    size = -(-group_count // 8)
    return [groups_in(owned[start : start + size]) for start in range(0, len(owned), size)]


@dataclass
class NodeTwin:
    """Blocks are (space, group, name); every peer is another twin, found by its address."""

    blocks: set[tuple[int, int, str]] = field(default_factory=set)
    peers: dict[str, NodeTwin] = field(default_factory=dict)
    block_bytes: int = 100
    ticket_keys: list[tuple[int, bytes]] = field(default_factory=list)
    routes: list[tuple[int, int, set[int]]] = field(default_factory=list)
    dropped_spaces: list[int] = field(default_factory=list)
    limits: dict[int, int | None] = field(default_factory=dict)
    expired: list[int] = field(default_factory=list)
    failures: int = 0
    """Pulls from here that fail before one succeeds; -1: all."""
    pulls: list[tuple[str, set[int], int, set[int]]] = field(default_factory=list)
    """Of each pull by this node: peer's address, groups, cursor, spaces."""
    released: list[set[int]] = field(default_factory=list)

    def set_ticket_keys(self, keys: Sequence[tuple[int, bytes]]) -> None:
        self.ticket_keys = list(keys)

    def set_route(self, epoch: int, group_count: int, owned: bytes) -> None:
        groups = set().union(*owned_by_place(owned, group_count))
        self.routes.append((epoch, group_count, groups))

    def drop_space(self, space: int) -> None:
        self.dropped_spaces.append(space)
        self.blocks = {block for block in self.blocks if block[0] != space}

    def set_tenant_limit(self, tenant: int, limit_bytes: int | None) -> None:
        self.limits[tenant] = limit_bytes

    def retain_groups(self, group_count: int, keep: bytes) -> bool:
        kept = groups_in(keep)
        over = sorted(block for block in self.blocks if block[1] not in kept)
        if over:
            self.blocks.discard(over[0])  # one a call: bounded work
        else:
            self.released.append(kept)
        return not over

    def sweep(self) -> int:
        return self.expired.pop() if self.expired else 0

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
        wanted = groups_in(groups)
        self.pulls.append((peer_address, wanted, cursor, set(spaces)))
        peer = self.peers.get(peer_address)
        if peer is None or peer.failures:
            if peer is not None and peer.failures > 0:
                peer.failures -= 1
            raise NodeError(f"{peer_address}: connection refused")
        assert ticket == b"ticket"
        held = sorted(peer.blocks)
        step = max(1, bytes_max // self.block_bytes)
        part = held[cursor : cursor + step]
        taken = {b for b in part if b[0] in spaces and b[1] in wanted} - self.blocks
        self.blocks |= taken
        behind = cursor + step
        return behind if behind < len(held) else 0, len(taken), len(taken) * self.block_bytes
