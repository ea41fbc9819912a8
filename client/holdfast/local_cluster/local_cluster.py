"""A cluster of child processes, from its start to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType

from holdfast._admin import AdminClient
from holdfast._cluster import Cluster, connect
from holdfast._limits import Limits, Timeouts
from holdfast._session import Transport
from holdfast.errors import AlreadyExists, ConfigInvalid, DeadlineExceeded, HoldfastError
from holdfast.local_cluster.daemon_configs import data_node_config, loopback, member_config
from holdfast.local_cluster.daemon_process import DaemonProcess
from holdfast.local_cluster.directory import ClusterDirectory, write_private
from holdfast.local_cluster.layout import LocalLayout
from holdfast.local_cluster.waiting import wait_for
from holdfast_kvstore.secret import load_secret
from holdfast_proto import meta_pb2 as pb

ADMIN_DEADLINE_S = 20.0
"""For one command; more than elsewhere, because machines that start everything at once are slow."""
START_DEADLINE_S = 60.0
"""Longest start of the whole cluster; arenas are touched page by page meanwhile."""


def local(
    data_nodes: int = 1,
    metadata_nodes: int = 1,
    arena_mib: int = 256,
    directory: Path | str | None = None,
    *,
    tenant: str = "local",
    spin_us: int = 0,
) -> LocalCluster:
    """A cluster on this machine for notebooks and tests: real daemons as child processes.

    Use it as a context manager: entering starts everything and waits until it serves, leaving
    stops it, also after an exception; the daemons die with this process in any case.

    data_nodes, metadata_nodes: how many (metadata: 1, 3 or 5). arena_mib: memory of each data
    node for blocks. directory: keeps the metadata over restarts; None: a temporary one.
    tenant: made with the cluster. spin_us: how long data nodes look for work before they sleep.

    Raises InvalidArgument; entering raises Unavailable with a daemon's last words if it ends,
    DeadlineExceeded if it is not ready after a minute.
    """
    layout = LocalLayout(
        data_nodes=data_nodes,
        metadata_nodes=metadata_nodes,
        arena_mib=arena_mib,
        tenant=tenant,
        spin_us=spin_us,
    )
    return LocalCluster(layout, directory)


class LocalCluster:
    """The daemons of one cluster and how to reach them. See `holdfast.local`."""

    def __init__(self, layout: LocalLayout, directory: Path | str | None = None) -> None:
        self.layout = layout
        self.members: list[DaemonProcess] = []
        """Metadata members; the one with id n is `members[n - 1]`."""
        self.data_nodes: list[DaemonProcess] = []
        """Data nodes, in the order of their start."""
        self._where = None if directory is None else Path(directory)
        self._directory: ClusterDirectory | None = None
        self._member_ports: tuple[int, ...] = ()
        self._key = ""
        self._admin: AdminClient | None = None
        self._interruptible: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext

    # ------------------------------------------------------------------------ how to reach it

    @property
    def address(self) -> str:
        """Addresses of the metadata members, joined by commas."""
        return ",".join(loopback(port) for port in self._member_ports)

    @property
    def tenant(self) -> str:
        """The tenant that was made with the cluster."""
        return self.layout.tenant

    @property
    def key(self) -> str:
        """Its API key."""
        return self._key

    @property
    def directory(self) -> Path:
        """Where configurations, logs and metadata lie. Raises ConfigInvalid before the start."""
        return self._files.path

    @property
    def secret_path(self) -> Path:
        """The file with the cluster's secret. Raises ConfigInvalid before the start."""
        return self._files.secret_path

    @property
    def admin(self) -> AdminClient:
        """Operators' calls. Raises ConfigInvalid before the start."""
        if self._admin is None:
            raise ConfigInvalid("this local cluster was not started: use it in a with statement")
        return self._admin

    @property
    def _files(self) -> ClusterDirectory:
        if self._directory is None:
            raise ConfigInvalid("this local cluster was not started: use it in a with statement")
        return self._directory

    def connect(
        self,
        *,
        transport: Transport = "auto",
        lanes: int = 2,
        spin_us: int = 0,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
    ) -> Cluster:
        """A cluster object for its tenant; see `holdfast.connect`."""
        return connect(
            self.address,
            tenant=self.tenant,
            key=self.key,
            transport=transport,
            lanes=lanes,
            spin_us=spin_us,
            timeouts=timeouts,
            limits=limits,
        )

    # ------------------------------------------------------------------------ its life

    def start(
        self,
        report: Callable[[str], None] | None = None,
        interruptible: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """Starts every daemon and waits until all serve.

        report: is told each step; the first one once the folder is locked and known to fit.
        interruptible: is entered around every wait, and may end it with an exception; between
        them folders and processes are made, each of which must be known to be cleaned up.

        Raises Unavailable if a daemon ends, DeadlineExceeded after a minute; everything that
        was started is stopped then.
        """
        say = report or (lambda step: None)
        self._interruptible = interruptible
        try:
            new = self._start_members(say)
            self._make_tenant(say)
            self._start_data_nodes(say, new)
        except BaseException:
            self.stop()
            raise

    def _start_members(self, say: Callable[[str], None]) -> bool:
        """True for a cluster that was never started before."""
        self._directory = directory = ClusterDirectory(self._where)
        directory.lock()
        new = directory.is_new()
        ports = directory.create(self.layout) if new else directory.reopen(self.layout)
        self._member_ports = ports.metadata
        self._admin = AdminClient(
            [loopback(port) for port in ports.metadata],
            load_secret(f"file:{directory.secret_path}"),
            ADMIN_DEADLINE_S,
        )
        for member in range(1, self.layout.metadata_nodes + 1):
            config = member_config(directory, self.layout, ports, member)
            self.members.append(self._daemon(f"meta-{member}", "holdfast_metanode", config))
        for node in range(1, self.layout.data_nodes + 1):
            config = data_node_config(directory, self.layout, ports, node)
            self.data_nodes.append(self._daemon(f"data-{node}", "holdfast_datanode", config))
        say(f"starting {len(self.members)} metadata members")
        for daemon in self.members:
            daemon.start()
        with self._interruptible():
            wait_for("election of a metadata leader", self._has_leader, START_DEADLINE_S)
            found = self.admin.status()
            if found.level < found.level_max:  # started here before by an older build
                self.admin.raise_level(found.level_max)
        return new

    def _daemon(self, name: str, module: str, config: Path) -> DaemonProcess:
        return DaemonProcess(name, module, config, self._files.path / f"{name}.log")

    def _has_leader(self) -> bool:
        for daemon in self.members:
            daemon.check_running()
        found = self._status()
        return found is not None and found.leader_id != 0 and found.epoch > 0

    def _make_tenant(self, say: Callable[[str], None]) -> None:
        path = self._files.key_path
        if path.exists():
            self._key = path.read_text().strip()
            return
        say(f"creating tenant {self.layout.tenant}")
        with self._interruptible():
            try:
                self._key = self.admin.create_tenant(self.layout.tenant).api_key
            except AlreadyExists:
                # The folder lost its key file: the cluster gives another key.
                self._key = self.admin.rotate_key(self.layout.tenant).api_key
        write_private(path, self._key)

    def _start_data_nodes(self, say: Callable[[str], None], new: bool) -> None:
        say(f"starting {len(self.data_nodes)} data nodes")
        for daemon in self.data_nodes:
            daemon.start()
            if new and daemon is not self.data_nodes[-1]:
                # Ids are given in the order of joins: data-2 is to be node 2.
                joined = partial(_has_joined, daemon)
                with self._interruptible():
                    wait_for(f"join of {daemon.name}", joined, START_DEADLINE_S)
        with self._interruptible():
            self.wait_for_nodes(len(self.data_nodes))

    def wait_for_nodes(self, count: int, deadline_s: float = START_DEADLINE_S) -> None:
        """Waits until `count` data nodes serve by the newest map and nothing moves to one that is
        up. Raises DeadlineExceeded with every node's state, and Unavailable if a daemon has
        ended meanwhile."""
        seen: list[pb.NodeInfo] = []

        def are_serving() -> bool:
            for daemon in self.data_nodes:
                if daemon.exit_code is not None and count == len(self.data_nodes):
                    daemon.check_running()
            try:
                listed = self.admin.list_nodes()
            except HoldfastError as error:
                if not error.retryable:
                    raise
                return False
            seen[:] = listed.nodes
            settled = all(_is_settled(node, listed.epoch) for node in seen)
            return sum(map(_answers, seen)) >= count and settled

        try:
            wait_for(f"start of {count} data nodes", are_serving, deadline_s)
        except DeadlineExceeded as error:
            states = "; ".join(map(_described, seen)) or "no data node is known"
            raise DeadlineExceeded(f"{error.message}: {states}") from None

    def wait_for_members(self, deadline_s: float = START_DEADLINE_S) -> None:
        """Waits until there is a leader and every member is reachable. Raises
        DeadlineExceeded."""

        def are_reachable() -> bool:
            found = self._status()
            return (
                found is not None
                and found.leader_id != 0
                and all(member.reachable for member in found.members)
            )

        wait_for("reach of all metadata members", are_reachable, deadline_s)

    def _status(self) -> pb.StatusReply | None:
        """The cluster's status, or None while nobody answers."""
        try:
            return self.admin.status()
        except HoldfastError as error:
            if not error.retryable:
                raise
            return None

    def leader(self) -> DaemonProcess:
        """The metadata member that leads now. Raises Unavailable while none does."""
        return self.members[self.admin.status().leader_id - 1]

    def stop(self) -> None:
        """Stops every daemon: data nodes first, so that they leave in order."""
        for daemons in (self.data_nodes, self.members):
            for daemon in daemons:
                daemon.ask_to_stop()
            for daemon in daemons:
                with contextlib.suppress(OSError):
                    daemon.stop()
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        if self._directory is not None:
            self._directory.remove()

    def __enter__(self) -> LocalCluster:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        parts = ", ".join(repr(daemon) for daemon in (*self.members, *self.data_nodes))
        return f"<LocalCluster at {self.address}: {parts}>"


def _has_joined(daemon: DaemonProcess) -> bool:
    """Whether a data node has its id. Raises Unavailable if it has ended."""
    daemon.check_running()
    return (daemon.config_path.parent / "state" / "identity.json").exists()


def _answers(node: pb.NodeInfo) -> bool:
    """Whether a data node is up, or draining and heard of by the present leader."""
    return node.state == pb.NODE_STATE_UP or (
        node.state == pb.NODE_STATE_DRAINING and node.HasField("load")
    )


def _is_settled(node: pb.NodeInfo, epoch: int) -> bool:
    """Groups settle a moment after the last join; before that the first blocks would be stored in
    places that they have to leave again, and before a node serves by the newest map it declines
    what it does not know to be its own. A node without weight gets no groups."""
    if node.state != pb.NODE_STATE_UP:
        return True
    if node.load.epoch < epoch:
        return False
    return not node.groups_to_move and (node.groups > 0 or node.weight == 0)


def _described(node: pb.NodeInfo) -> str:
    state = pb.NodeState.Name(node.state).removeprefix("NODE_STATE_").lower()
    return (
        f"node {node.id} at {node.tcp_address} is {state} with {node.groups} groups, "
        f"{node.groups_to_move} to move, by map {node.load.epoch}"
    )
