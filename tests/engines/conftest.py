"""One cluster for all tests of engines' doors that do not damage theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast


@pytest.fixture(scope="session")
def engine_cluster() -> Iterator[holdfast.LocalCluster]:
    """Two data nodes and one metadata member."""
    layout = holdfast.LocalLayout(data_nodes=2, arena_mib=256)  # nothing is evicted
    with holdfast.LocalCluster(layout) as running:
        yield running


@pytest.fixture(scope="session")
def reach(engine_cluster: holdfast.LocalCluster) -> dict[str, Any]:
    """Settings by which a door finds that cluster."""
    return reach_of(engine_cluster)


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, Any]:
    """Settings that lead to no cluster: nobody listens there."""
    key = tmp_path / "nobody.key"
    key.write_text("hf1.0123456789abcdef.0123456789abcdef")
    return {"address": "127.0.0.1:9", "tenant": "nobody", "key": f"file:{key}"}


def reach_of(cluster: holdfast.LocalCluster) -> dict[str, Any]:
    """Settings by which a door finds `cluster` as its first tenant."""
    return {
        "address": cluster.address,
        "tenant": cluster.tenant,
        "key": f"file:{cluster.directory / 'tenant.key'}",
    }
