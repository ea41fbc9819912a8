"""Every figure that docs/operations.md names is one that a data node serves."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest

import holdfast
from holdfast.local_cluster.waiting import wait_for

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
NAME = re.compile(r"`(?:holdfast_datanode_)?([a-z_]+)(?:\{[^`]*\})?`")
FIGURE = re.compile(r'figure="([a-z_]+)"')


def section() -> str:
    """The part about figures."""
    return OPERATIONS.read_text(encoding="utf-8").split("\n## Figures\n")[1].split("\n## ")[0]


def served(node: holdfast.DaemonProcess) -> str:
    """What a node with metrics answers."""
    with node.config_path.open("a") as config:
        config.write('\n[metrics]\nlisten = "127.0.0.1:0"\n')
    node.kill()
    ready = node.config_path.parent / "state" / "ready.json"
    ready.unlink()
    node.start()
    wait_for("the restart of the node", ready.exists, 60)
    address = json.loads(ready.read_text())["metrics_address"]
    with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.mark.process
@pytest.mark.timeout(120)
def test_every_documented_figure_is_served() -> None:
    named = set(NAME.findall(section()))
    assert len(named) > 10
    with holdfast.LocalCluster(holdfast.LocalLayout(arena_mib=16)) as running:
        text = served(running.data_nodes[0])
    families = set(re.findall(r"^# TYPE holdfast_datanode_([a-z0-9_]+)", text, re.MULTILINE))
    assert named <= families, f"not served: {named - families}; served: {sorted(families)}"
    assert set(FIGURE.findall(section())) <= set(FIGURE.findall(text))
