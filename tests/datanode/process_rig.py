"""A cluster of real processes, blocks in it, and data nodes beside those it began with."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import numpy.typing as npt

import holdfast
from holdfast.local_cluster.daemon_process import DaemonProcess
from holdfast.local_cluster.layout import LocalLayout
from holdfast.local_cluster.local_cluster import LocalCluster
from holdfast_proto import meta_pb2
from tests.datanode.waiting import wait_for

BLOCK_BYTES = 64 << 10
START_S = 30.0
_TO_DASHES = str.maketrans(":+", "--")


class ProcessRig:
    """Started and stopped by a `with` of `local`."""

    def __init__(self, local: LocalCluster) -> None:
        self.local = local

    # ------------------------------------------------------------------- nodes

    def node(self, node_id: int) -> meta_pb2.NodeInfo:
        """What the cluster says of a data node."""
        (found,) = (node for node in self.local.admin.list_nodes().nodes if node.id == node_id)
        return found

    def ready(self, daemon: DaemonProcess) -> dict[str, object]:
        """The ready file of a daemon, once it is there."""
        path = daemon.config_path.parent / "state" / "ready.json"

        def is_written() -> bool:
            daemon.check_running()
            return path.exists()

        wait_for(is_written, START_S)
        facts: dict[str, object] = json.loads(path.read_text())
        return facts

    def node_id(self, daemon: DaemonProcess) -> int:
        """The id of a running daemon."""
        return int(str(self.ready(daemon)["node"]))

    def wait_for_state(self, node_id: int, state: int, deadline_s: float = 10.0) -> None:
        """Until the cluster says so."""
        wait_for(lambda: self.node(node_id).state == state, deadline_s)

    def wait_until_settled(self, deadline_s: float = 30.0) -> None:
        """Until no group moves and every node serves by the newest map."""

        def is_settled() -> bool:
            nodes = self.local.admin.list_nodes().nodes
            return all(node.groups_to_move == 0 for node in nodes)

        wait_for(is_settled, deadline_s)

    def add_node(self, name: str, more: str = "") -> DaemonProcess:
        """Starts one more data node; `more` is added to its configuration."""
        folder = self.local.directory / name
        folder.mkdir()
        config = folder / "config.toml"
        members = ", ".join(f'"{address}"' for address in self.local.address.split(","))
        config.write_text(
            f'data_directory = "state"\nmembers = [{members}]\n'
            f'secret = "file:{self.local.secret_path}"\nlisten = "127.0.0.1:0"\n'
            f'host = "{name}"\narena_mib = {self.local.layout.arena_mib}\n{more}'
        )
        daemon = DaemonProcess(name, "holdfast_datanode", config, folder / "log")
        daemon.start()
        self.local.data_nodes.append(daemon)
        return daemon


class Blocks:
    """`count` blocks of one space, with contents that follow from their keys."""

    def __init__(self, cluster: holdfast.Cluster, count: int, redundancy: str = "single") -> None:
        self.space = cluster.space(
            f"blocks-{redundancy.translate(_TO_DASHES)}",
            block_bytes=BLOCK_BYTES,
            redundancy=redundancy,
            create=True,
        )
        self.keys = [f"block {number}".encode() for number in range(count)]
        self.contents = np.stack([_content(key) for key in self.keys])

    def put(self) -> int:
        """Stores all; returns how many are kept."""
        source = self.space.register(self.contents)
        result = self.space.put(self.keys, source.blocks())
        return result.kept

    def found(self) -> int:
        """Reads all, checks each byte of those found; returns how many there were."""
        target = np.zeros_like(self.contents)
        result = self.space.get(self.keys, self.space.register(target).blocks())
        hits = np.asarray(result.hit_mask)
        assert np.array_equal(target[hits], self.contents[hits])
        return int(hits.sum())


def _content(key: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(hashlib.shake_128(key).digest(BLOCK_BYTES), dtype=np.uint8)


def layout(data_nodes: int, down_after_ms: int = 1_500) -> LocalLayout:
    """A small cluster with one metadata member."""
    return LocalLayout(
        data_nodes=data_nodes, metadata_nodes=1, arena_mib=64, down_after_ms=down_after_ms
    )
