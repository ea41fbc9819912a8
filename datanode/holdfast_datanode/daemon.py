"""Composition root of the data node: makes every part, starts them in order, stops them."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import structlog

from holdfast_datanode.config import DataNodeConfig
from holdfast_datanode.identity import DataDirectory, Identity
from holdfast_datanode.machine_limits import check_memory, raise_descriptor_limit
from holdfast_datanode.membership import Description, Membership
from holdfast_datanode.metadata_client import MetadataClient
from holdfast_datanode.metrics import DataNodeCollector, MetricsServer
from holdfast_datanode.native_factory import native_node
from holdfast_datanode.peer_tickets import PeerTickets
from holdfast_datanode.readiness import announce, announce_stop
from holdfast_datanode.reservation import reserve_address
from holdfast_datanode.view import View
from holdfast_datanode.workers import (
    ExpireWorker,
    MoveWorker,
    ReleaseWorker,
    ScrubWorker,
    WorkerStatus,
    WorkerThread,
)
from holdfast_kvstore.errors import ConfigInvalid, HoldfastError, Internal, Unavailable
from holdfast_kvstore.secret import load_secret
from holdfast_native import Node

_log = structlog.get_logger(__name__)
_THREAD_STOP_S = 2.0
_LEAVE_MS = 1_000
_LOOK_S = 0.1
_BUILDS_MAX = 3


class DataNode:
    """One data node of a cluster, from its configuration to its end.

    `run` blocks; `stop` may be called from any thread, but not from a signal handler.
    """

    def __init__(self, config: DataNodeConfig) -> None:
        self._config = config
        self._ending = threading.Event()
        self._fatal: HoldfastError | None = None
        self._workers: list[WorkerThread] = []

    def stop(self) -> None:
        """Lets `run` end in good order."""
        self._ending.set()

    def pause_workers(self) -> None:
        """Begins no further step of background work."""
        for worker in self._workers:
            worker.pause()

    def resume_workers(self) -> None:
        """Goes on with background work."""
        for worker in self._workers:
            worker.resume()

    def worker_statuses(self) -> list[WorkerStatus]:
        """What each background job does."""
        return [worker.status() for worker in self._workers]

    def run(self) -> None:
        """Serves until `stop`. Raises ConfigInvalid, Unavailable (no metadata member within the
        join deadline), NativeError, and whatever the cluster refuses this node with."""
        with ExitStack() as parts:
            try:
                self._compose(parts)
            except Unavailable:
                if not self._ending.is_set():
                    raise
            self._ending.wait()
            announce_stop()
            _log.info("stopping")
        _log.info("stopped")
        if self._fatal is not None:
            raise self._fatal

    def _compose(self, parts: ExitStack) -> None:
        config = self._config
        raise_descriptor_limit(config)
        check_memory(config)
        directory = parts.enter_context(DataDirectory(config.data_directory))
        authority = _read(config.members_authority)
        metadata = MetadataClient(config.members, load_secret(config.secret), authority)
        parts.callback(metadata.close)
        membership = Membership(
            metadata, directory, config.metadata_deadline_ms, on_fatal=self._end_with
        )
        incarnation = secrets.randbits(63) | 1
        node, identity = self._start_node(parts, membership, incarnation)
        view = View(identity.node, node)
        self._start_workers(parts, node, view, membership)
        # At the end, from here upwards: heartbeats end, nobody is sent here any more, background
        # work ends, requests in flight end.
        parts.callback(membership.leave, _LEAVE_MS)
        parts.callback(membership.stop, _THREAD_STOP_S)
        membership.start(view, node.stats)
        self._await_view(view)
        metrics = self._start_metrics(parts, node, view, membership)
        facts: dict[str, object] = {
            "node": identity.node,
            "incarnation": incarnation,
            "cluster_id": identity.cluster_id.hex(),
            "tcp_address": node.tcp_address,
            "unix_path": node.unix_path or "",
            "metrics_address": metrics,
            "process": os.getpid(),
        }
        announce(directory.ready_file, facts)
        _log.info("ready", **facts)

    def _start_node(
        self, parts: ExitStack, membership: Membership, incarnation: int
    ) -> tuple[Node, Identity]:
        """The native node, serving, and known to the cluster under its present address.

        It is built with its id, which only the first join gives: a node without one joins once it
        has taken the address that it is going to serve at, any other is reachable before it joins.
        A node that was removed meanwhile is given another id, and is built once more.
        """
        config = self._config
        listen = config.listen
        identity = membership.identity
        joined: Description | None = None
        taken = parts.enter_context(ExitStack())
        if identity is None:
            listen = reserve_address(taken, listen)
            joined = self._describe(incarnation, listen)
            identity = self._join(membership, joined)
        for _ in range(_BUILDS_MAX):
            node = native_node(config, identity, incarnation)
            stop = parts.enter_context(ExitStack())
            stop.callback(node.stop, config.stop_deadline_ms)
            self._serve(node, listen)
            taken.close()
            present = self._describe(incarnation, node.tcp_address)
            given = identity if present == joined else self._join(membership, present)
            if given == identity:
                return node, identity
            _log.warning("given another id", before=identity.node, node=given.node)
            stop.close()
            identity, joined = given, None
        raise Internal(f"the cluster gave this node another id {_BUILDS_MAX} times in a row")

    def _serve(self, node: Node, listen: str) -> None:
        unix_path = self._config.unix_path
        if unix_path is not None:
            unix_path.parent.mkdir(parents=True, exist_ok=True)
        node.start(listen, str(unix_path) if unix_path is not None else None)

    def _join(self, membership: Membership, description: Description) -> Identity:
        return membership.join(description, self._config.join_deadline_s * 1000, self._ending)

    def _describe(self, incarnation: int, tcp_address: str) -> Description:
        config = self._config
        return Description(
            incarnation=incarnation,
            tcp_address=config.advertise or tcp_address,
            unix_path=str(config.unix_path) if config.unix_path is not None else "",
            boot_id=Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
            host=config.host or socket.gethostname(),
            rack=config.rack,
            weight=config.placement_weight,
            capacity_bytes=config.arena_bytes,
        )

    def _start_workers(
        self, parts: ExitStack, node: Node, view: View, membership: Membership
    ) -> None:
        pace = self._config.workers
        tickets = PeerTickets(membership.peer_ticket)
        for worker in (
            MoveWorker(node, view, tickets.current, membership.report_moves, pace),
            ReleaseWorker(node, view, pace.release_after_ms),
            ExpireWorker(node, pace.expire_interval_ms),
            ScrubWorker(node, pace.scrub_within_s, pace.scrub_mib_per_s),
        ):
            view.on_change(worker.wake)
            thread = WorkerThread(worker)
            self._workers.append(thread)
            thread.start()
        parts.callback(self._stop_workers, pace.move_step_deadline_ms / 1000 + _THREAD_STOP_S)

    def _stop_workers(self, timeout_s: float) -> None:
        for worker in self._workers:
            worker.stop(0)
        for worker in self._workers:
            if not worker.stop(timeout_s):
                _log.warning("worker did not stop in time", worker=worker.status().name)

    def _await_view(self, view: View) -> None:
        ends_at_s = time.monotonic() + self._config.join_deadline_s
        while not view.wait_applied(_LOOK_S):
            if self._ending.is_set() or time.monotonic() >= ends_at_s:
                raise Unavailable(
                    "no metadata member sent the cluster map within "
                    f"{self._config.join_deadline_s} s: check {', '.join(self._config.members)}"
                )

    def _start_metrics(
        self, parts: ExitStack, node: Node, view: View, membership: Membership
    ) -> str:
        listen = self._config.metrics.listen
        if listen is None:
            return ""

        def figures() -> dict[str, int]:
            return {
                "map_epoch": view.epoch,
                "heartbeats_failed": membership.heartbeats_failed,
            }

        collector = DataNodeCollector(node.stats, self.worker_statuses, figures)
        server = MetricsServer(listen, collector)
        parts.callback(server.close)
        return server.address

    def _end_with(self, error: HoldfastError) -> None:
        self._fatal = error
        self._ending.set()


def _read(authority: Path | None) -> bytes | None:
    try:
        return None if authority is None else authority.read_bytes()
    except OSError as error:
        raise ConfigInvalid(f"members_authority {authority}: {error.strerror}") from error
