"""One cluster for all tests of the client that do not damage theirs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

import holdfast

BLOCK_BYTES = 4096
_numbers = itertools.count()


@pytest.fixture(scope="session")
def local() -> Iterator[holdfast.LocalCluster]:
    """Three data nodes and one metadata member, with short tickets."""
    layout = holdfast.LocalLayout(data_nodes=3, arena_mib=128, fault_injection=True)
    with holdfast.LocalCluster(layout) as running:
        yield running


@pytest.fixture(scope="session", params=["tcp", "shm"])
def cluster(
    request: pytest.FixtureRequest, local: holdfast.LocalCluster
) -> Iterator[holdfast.Cluster]:
    """A cluster object, once for each transport."""
    with local.connect(transport=request.param) as opened:
        yield opened


@pytest.fixture(scope="session")
def tcp_cluster(local: holdfast.LocalCluster) -> Iterator[holdfast.Cluster]:
    """A cluster object for tests to which the transport makes no difference."""
    with local.connect(transport="tcp") as opened:
        yield opened


@pytest.fixture
def new_name() -> Callable[[], str]:
    """Names that no other test uses."""
    return lambda: f"space-{next(_numbers)}"


@pytest.fixture
def space(cluster: holdfast.Cluster, new_name: Callable[[], str]) -> holdfast.Space:
    """An empty space of single blocks."""
    return cluster.space(new_name(), block_bytes=BLOCK_BYTES, create=True)


@pytest.fixture
def tcp_space(tcp_cluster: holdfast.Cluster, new_name: Callable[[], str]) -> holdfast.Space:
    """An empty space of single blocks, over TCP."""
    return tcp_cluster.space(new_name(), block_bytes=BLOCK_BYTES, create=True)
