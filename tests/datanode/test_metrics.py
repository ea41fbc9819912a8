from __future__ import annotations

import urllib.request

import pytest

from holdfast_datanode.metrics import DataNodeCollector, MetricsServer
from holdfast_datanode.workers import WorkerState, WorkerStatus
from holdfast_kvstore.errors import ConfigInvalid

STATS = {"used_bytes": 4096, "hits": 7, "tenants": {3: 1024}, "policy": "lru"}
MOVE = WorkerStatus("move", WorkerState.PAUSED, 5, 2, "", {"blocks_taken": 9})


def collector() -> DataNodeCollector:
    return DataNodeCollector(lambda: STATS, lambda: [MOVE], lambda: {"map_epoch": 12})


def test_figures_are_served_as_prometheus_text() -> None:
    server = MetricsServer("127.0.0.1:0", collector())
    try:
        with urllib.request.urlopen(f"http://{server.address}/metrics", timeout=5) as answer:
            lines = set(answer.read().decode().splitlines())
    finally:
        server.close()
    assert lines >= {
        "holdfast_datanode_used_bytes 4096.0",
        "holdfast_datanode_hits_total 7.0",
        'holdfast_datanode_tenant_used_bytes{tenant="3"} 1024.0',
        "holdfast_datanode_map_epoch 12.0",
        'holdfast_datanode_worker_state{state="paused",worker="move"} 1.0',
        'holdfast_datanode_worker_state{state="working",worker="move"} 0.0',
        'holdfast_datanode_worker_errors_total{worker="move"} 2.0',
        'holdfast_datanode_worker_figure{figure="blocks_taken",worker="move"} 9.0',
    }


def test_an_address_in_use_is_named() -> None:
    server = MetricsServer("127.0.0.1:0", collector())
    try:
        with pytest.raises(ConfigInvalid, match=r"metrics\.listen"):
            MetricsServer(server.address, collector())
    finally:
        server.close()
