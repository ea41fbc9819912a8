"""Clusters that tests may damage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import holdfast

BLOCK_BYTES = 16 << 10


@pytest.fixture
def three_of_each() -> Iterator[holdfast.LocalCluster]:
    """Three metadata members and three data nodes, a short silence counts as down."""
    layout = holdfast.LocalLayout(
        data_nodes=3, metadata_nodes=3, arena_mib=64, heartbeat_interval_ms=200, down_after_ms=1500
    )
    with holdfast.LocalCluster(layout) as running:
        yield running


@pytest.fixture
def one_of_each() -> Iterator[holdfast.LocalCluster]:
    """One metadata member and one data node."""
    layout = holdfast.LocalLayout(arena_mib=64, fault_injection=True)
    with holdfast.LocalCluster(layout) as running:
        yield running


@pytest.fixture(params=["tcp", "shm"])
def transport(request: pytest.FixtureRequest) -> str:
    """Both ways to move bytes on one host."""
    return str(request.param)
