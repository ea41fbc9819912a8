"""This node's place in the cluster: joins it, lets it know that the node lives, follows its map."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import structlog

from holdfast_datanode.identity import DataDirectory, Identity
from holdfast_datanode.metadata_client import MetadataClient
from holdfast_datanode.view import View
from holdfast_kvstore.errors import HoldfastError, Internal, NotFound, WrongCluster
from holdfast_kvstore.policies import TIMES
from holdfast_proto import meta_pb2

_log = structlog.get_logger(__name__)
_WATCH_MS = 60_000
"""A stream is opened anew after this time, so that one that died silently is not trusted."""
_BEHIND_S_MAX = 1.0
"""How long the watch may lag behind the epoch that heartbeats name before it is opened anew."""
_RETRY_S_MIN, _RETRY_S_MAX = 0.05, 1.0
_FATAL = (WrongCluster, NotFound)
"""Another cluster answers, or an operator removed this node."""
_LOAD_FIELDS = tuple(field.name for field in meta_pb2.NodeLoad.DESCRIPTOR.fields)


@dataclass(frozen=True, slots=True)
class Description:
    """What the cluster is told about this node at a join."""

    incarnation: int
    """Random, new when the node's memory started empty. 1 to 2**64 - 1."""
    tcp_address: str
    unix_path: str
    boot_id: str
    host: str
    rack: str
    weight: int
    capacity_bytes: int


class Membership:
    """Heartbeats and the watch, each in a thread of its own.

    `on_fatal` is called once if the cluster will not have this node, with the reason.
    """

    def __init__(
        self,
        metadata: MetadataClient,
        directory: DataDirectory,
        deadline_ms: int,
        on_fatal: Callable[[HoldfastError], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metadata = metadata
        self._directory = directory
        self._deadline_ms = deadline_ms
        self._on_fatal = on_fatal
        self._monotonic_s = monotonic_s
        self._identity = directory.load_identity()
        self._description: Description | None = None
        self._interval_s = TIMES.heartbeat_interval_ms / 1000
        self._stopping = threading.Event()
        self._beat = threading.Event()
        """Set when the next heartbeat is due at once."""
        self._threads: list[threading.Thread] = []
        self._watched_member = ""
        self._end_watch: Callable[[], None] = lambda: None
        self._behind_since_s: float | None = None
        self._heartbeats_failed = 0
        self._epoch_told = 0

    @property
    def identity(self) -> Identity | None:
        """Who this node is; None before its first join."""
        return self._identity

    @property
    def heartbeats_failed(self) -> int:
        """Heartbeats that no member took, since start."""
        return self._heartbeats_failed

    def join(
        self, description: Description, deadline_ms: int, cancelled: threading.Event | None = None
    ) -> Identity:
        """Makes the node known under its stored id, or under a new one that is then stored: at its
        first join, and after an operator removed the stored one.

        Raises WrongCluster, and what the cluster refuses; Unavailable after the deadline or once
        `cancelled` is set.
        """
        ended = cancelled or self._stopping
        try:
            return self._join_as_known(description, deadline_ms, ended)
        except NotFound:
            if self._identity is None:
                raise
            self._set_identity_aside(self._identity)
        self._identity = None
        return self._join_as_known(description, deadline_ms, ended)

    def _set_identity_aside(self, removed: Identity) -> None:
        """The cluster will never know this id again; what it stood for was in memory alone."""
        kept = self._directory.set_identity_aside(removed)
        _log.warning("this node was removed from the cluster", node=removed.node, kept_as=str(kept))

    def _join_as_known(
        self, description: Description, deadline_ms: int, cancelled: threading.Event
    ) -> Identity:
        known = self._identity
        reply = self._metadata.join(
            meta_pb2.JoinRequest(
                id=known.node if known is not None else 0,
                cluster_id=known.cluster_id if known is not None else b"",
                incarnation=description.incarnation,
                tcp_address=description.tcp_address,
                unix_path=description.unix_path,
                boot_id=description.boot_id,
                host=description.host,
                rack=description.rack,
                weight=description.weight,
                capacity_bytes=description.capacity_bytes,
            ),
            deadline_ms,
            cancelled,
        )
        joined = Identity(reply.id, reply.cluster_id)
        if known is not None and known.cluster_id != joined.cluster_id:
            raise WrongCluster(known.cluster_id.hex(), joined.cluster_id.hex())
        if joined != known:
            self._directory.store_identity(joined)
            self._identity = joined
        self._description = description
        self._metadata.learn_members(reply.member_addresses)
        if reply.heartbeat_interval_ms:
            self._interval_s = reply.heartbeat_interval_ms / 1000
        _log.info("joined", node=joined.node, incarnation=description.incarnation)
        return joined

    def start(self, view: View, stats: Callable[[], dict[str, Any]]) -> None:
        """Begins heartbeats and the watch. The node must have joined."""
        assert self._description is not None, "join first"
        view.on_change(lambda: self._tell_epoch(view.epoch))
        for name, body in (
            ("heartbeat", lambda: self._send_heartbeats(view, stats)),
            ("watch", lambda: self._follow(view)),
        ):
            thread = threading.Thread(target=self._guarded, args=(body,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ends both threads."""
        self._stopping.set()
        self._beat.set()
        self._end_watch()
        for thread in self._threads:
            thread.join(timeout_s)

    def leave(self, deadline_ms: int) -> None:
        """Tells the cluster that this node stops, so that nobody waits for it. Best effort."""
        if self._identity is None or self._description is None:
            return
        request = meta_pb2.LeaveRequest(
            id=self._identity.node, incarnation=self._description.incarnation
        )
        try:
            self._metadata.leave(request, deadline_ms)
        except HoldfastError as error:
            _log.warning("not taken leave of", error=error.message)

    def peer_ticket(self) -> meta_pb2.Ticket:
        """A ticket for reading on other data nodes. Raises HoldfastError."""
        assert self._identity is not None and self._description is not None
        request = meta_pb2.PeerTicketRequest(
            id=self._identity.node, incarnation=self._description.incarnation
        )
        return self._metadata.peer_ticket(request, self._deadline_ms)

    def report_moves(self, epoch: int, groups: list[int]) -> None:
        """Says that the groups' blocks were taken over. Raises HoldfastError."""
        assert self._identity is not None and self._description is not None
        self._metadata.moves_done(
            meta_pb2.MovesDoneRequest(
                id=self._identity.node,
                incarnation=self._description.incarnation,
                epoch=epoch,
                groups=groups,
            ),
            self._deadline_ms,
        )

    def _guarded(self, body: Callable[[], None]) -> None:
        """A thread that dies must not leave a node behind that looks alive."""
        try:
            body()
        except Exception as error:
            _log.exception("thread died", thread=threading.current_thread().name)
            self._on_fatal(Internal(f"{threading.current_thread().name} died: {error!r}"))

    # ------------------------------------------------------------------- heartbeats

    def _send_heartbeats(self, view: View, stats: Callable[[], dict[str, Any]]) -> None:
        due_s = self._monotonic_s()
        while True:
            self._beat.clear()
            if self._stopping.is_set():
                return
            try:
                self._send_heartbeat(view, stats())
            except HoldfastError as error:
                self._heartbeats_failed += 1
                if isinstance(error, _FATAL):
                    self._on_fatal(error)
                    return
                _log.warning("heartbeat failed", error=error.message)
            # After a pause of the process the missed ones are not made up for.
            due_s = max(due_s + self._interval_s, self._monotonic_s())
            if self._beat.wait(max(0.0, due_s - self._monotonic_s())):
                due_s = self._monotonic_s()

    def _tell_epoch(self, epoch: int) -> None:
        """A new map is told at once: whoever starts a cluster waits until every node has it."""
        if epoch != self._epoch_told:
            self._beat.set()

    def _send_heartbeat(self, view: View, stats: dict[str, Any]) -> None:
        assert self._identity is not None and self._description is not None
        self._epoch_told = view.epoch
        load = {name: int(stats.get(name, 0)) for name in _LOAD_FIELDS}
        load["epoch"] = self._epoch_told
        reply = self._metadata.heartbeat(
            meta_pb2.HeartbeatRequest(
                id=self._identity.node,
                incarnation=self._description.incarnation,
                epoch=self._epoch_told,
                load=meta_pb2.NodeLoad(**load),
            ),
            self._deadline_ms,
        )
        if reply.unknown:
            _log.warning("the cluster does not know this node any more: joining again")
            self._join_again(self._identity, self._description)
        self._check_watch(view, reply.epoch)

    def _join_again(self, known: Identity, description: Description) -> None:
        """A node that serves cannot change its id: raises NotFound if it was removed."""
        try:
            self._join_as_known(description, self._deadline_ms, self._stopping)
        except NotFound:
            self._set_identity_aside(known)
            raise NotFound(
                f"node {known.node} was removed from the cluster: started again it joins as a "
                "new, empty node",
                node=str(known.node),
            ) from None

    def _check_watch(self, view: View, newest_epoch: int) -> None:
        """Ends a watch that lags: its member is cut off or stopped."""
        now_s = self._monotonic_s()
        if view.epoch >= newest_epoch:
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = now_s
        elif now_s - self._behind_since_s >= _BEHIND_S_MAX:
            _log.warning("watch lags", member=self._watched_member, epoch=view.epoch)
            self._behind_since_s = None
            self._end_watch()

    # ------------------------------------------------------------------- watch

    def _follow(self, view: View) -> None:
        retry_s = _RETRY_S_MIN
        while not self._stopping.is_set():
            try:
                with closing(self._watch(view)) as stream:
                    for news in stream:
                        view.apply(news)
                        retry_s = _RETRY_S_MIN
            except HoldfastError as error:
                _log.warning("watch broke", member=self._watched_member, error=error.message)
                self._stopping.wait(retry_s * random.uniform(0.5, 1.0))
                retry_s = min(2 * retry_s, _RETRY_S_MAX)

    def _watch(self, view: View) -> Generator[meta_pb2.NodeView, None, None]:
        assert self._identity is not None
        request = meta_pb2.WatchNodeRequest(id=self._identity.node, known_version=view.version)
        return self._metadata.watch(request, _WATCH_MS, self._note_watch)

    def _note_watch(self, member: str, end: Callable[[], None]) -> None:
        self._watched_member, self._end_watch = member, end
        if self._stopping.is_set():
            end()
