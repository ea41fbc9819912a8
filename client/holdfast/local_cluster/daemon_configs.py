"""The configuration files of a local cluster's daemons."""

from __future__ import annotations

from pathlib import Path

from holdfast.local_cluster.directory import ClusterDirectory, Ports
from holdfast.local_cluster.layout import LocalLayout
from holdfast.local_cluster.toml_text import toml_text


def loopback(port: int) -> str:
    """`host:port` on this machine."""
    return f"127.0.0.1:{port}"


def member_config(
    directory: ClusterDirectory, layout: LocalLayout, ports: Ports, member: int
) -> Path:
    """Writes the configuration of metadata member `member`, counted from 1."""
    folder = directory.daemon(f"meta-{member}")
    peers: list[dict[str, str | int]] = [
        {"id": number, "address": loopback(port)}
        for number, port in enumerate(ports.metadata, start=1)
    ]
    text = toml_text(
        {
            "ticket_life_s": layout.ticket_life_s,
            "member": {
                "id": member,
                "data": folder / "state",
                "listen": loopback(ports.metadata[member - 1]),
            },
            "cluster": {
                "secret": f"file:{directory.secret_path}",
                "initial_members": peers,
                "planned_nodes": max(1, layout.data_nodes),
            },
            "nodes": {
                "heartbeat_interval_ms": layout.heartbeat_interval_ms,
                "down_after_ms": layout.down_after_ms,
                "out_after_ms": layout.out_after_ms,
            },
        }
    )
    path = folder / "config.toml"
    path.write_text(text)
    return path


def data_node_config(
    directory: ClusterDirectory, layout: LocalLayout, ports: Ports, node: int
) -> Path:
    """Writes the configuration of data node `node`, counted from 1.

    Each node is a host of its own to placement, so that copies go to different processes.
    """
    name = f"data-{node}"
    folder = directory.daemon(name)
    text = toml_text(
        {
            "data_directory": folder / "state",
            "members": [loopback(port) for port in ports.metadata],
            "secret": f"file:{directory.secret_path}",
            "listen": loopback(ports.data[node - 1]),
            "unix_path": directory.socket_path(name),
            "host": name,
            "arena_mib": layout.arena_mib,
            "fault_injection": layout.fault_injection,
            "serving": {"spin_us": layout.spin_us},
        }
    )
    path = folder / "config.toml"
    path.write_text(text)
    return path
