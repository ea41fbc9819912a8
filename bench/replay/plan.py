"""Sizes of a replay, derived from the trace and the machine."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bench.replay.trace import Trace
from holdfast_kvstore.redundancy import Redundancy

BLOCK_KIB_MAX = 256
DATA_NODES_MIN = 4
EXTENT_MIB = 16


class PlanError(ValueError):
    """The trace does not fit this machine at any block size, or an override is out of range."""


@dataclass(frozen=True)
class Plan:
    """What a replay runs with.

    block_bytes: size of one block.
    redundancy: how many nodes hold something of each block.
    arena_mib: memory of each data node.
    data_nodes, metadata_nodes: processes.
    requests_in_flight: requests served at once.
    deadline_s: bound of each call.
    kill: whether a data node and the metadata leader are killed on the way.
    """

    block_bytes: int
    redundancy: Redundancy
    arena_mib: int
    data_nodes: int
    metadata_nodes: int
    requests_in_flight: int
    deadline_s: float
    kill: bool


def plan_for(
    trace: Trace,
    *,
    block_kib: int | None,
    arena_mib: int | None,
    kill: bool,
    redundancy: Redundancy,
    metadata_nodes: int = 3,
    requests_in_flight: int = 24,
    deadline_s: float = 3.0,
) -> Plan:
    """The largest power of two of KiB whose arenas fit in half of the machine's memory.

    Raises:
        PlanError: not even 1 KiB fits, or an override is out of range.
    """
    data_nodes = max(DATA_NODES_MIN, redundancy.owners)
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    if block_kib is None:
        block_kib = BLOCK_KIB_MAX
        while block_kib > 1 and _arena_mib(trace, block_kib << 10, redundancy, data_nodes) << 20 > (
            half // data_nodes
        ):
            block_kib //= 2
    if not 1 <= block_kib <= 16 << 10:
        raise PlanError(f"blocks of {block_kib} KiB: from 1 to {16 << 10} is possible")
    if arena_mib is None:
        arena_mib = _arena_mib(trace, block_kib << 10, redundancy, data_nodes)
        if arena_mib << 20 > half // data_nodes:
            raise PlanError(
                f"{trace.distinct_blocks} blocks of {block_kib} KiB do not fit in half of this "
                f"machine's memory ({half >> 20} MiB): take a shorter trace, or set ARENA_MIB"
            )
    if arena_mib < 2 * EXTENT_MIB or arena_mib % EXTENT_MIB:
        raise PlanError(
            f"an arena of {arena_mib} MiB: a multiple of {EXTENT_MIB}, at least {2 * EXTENT_MIB}, "
            "is needed"
        )
    return Plan(
        block_bytes=block_kib << 10,
        redundancy=redundancy,
        arena_mib=arena_mib,
        data_nodes=data_nodes,
        metadata_nodes=metadata_nodes,
        requests_in_flight=requests_in_flight,
        deadline_s=deadline_s,
        kill=kill,
    )


def _arena_mib(trace: Trace, block_bytes: int, redundancy: Redundancy, data_nodes: int) -> int:
    """Room for a node's share, a quarter over it for uneven groups, in whole extents."""
    stored = redundancy.chunk_bytes(block_bytes) * redundancy.owners
    share = trace.distinct_blocks * stored / data_nodes * 1.25
    extents = int(share / (EXTENT_MIB << 20)) + 3
    return extents * EXTENT_MIB
