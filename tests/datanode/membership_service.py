"""A metadata member of one process: the `Membership` service over gRPC, answers set by the test."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NoReturn, Self

import grpc
import msgpack

from holdfast_datanode.metadata_client import SIGNATURE_KEY
from holdfast_kvstore.errors import HoldfastError, NotFound, to_wire
from holdfast_kvstore.secret import ReplayCache, Secret, body_digest, verify
from holdfast_proto import meta_pb2, meta_pb2_grpc

CLUSTER_ID = bytes(range(16))
SECRET = Secret(b"0123456789abcdef")


@dataclass
class MembershipService(meta_pb2_grpc.MembershipServicer):
    """Notes every request; `refuse` decides whether one fails, and with what."""

    refuse: Callable[[str], HoldfastError | None] = lambda _: None
    heartbeat_interval_ms: int = 20
    new_id: int = 42
    removed: set[int] = field(default_factory=set)
    """Ids that an operator removed."""
    newest_epoch: int = 0
    unknown: list[bool] = field(default_factory=list)
    """Answers `unknown` of the next heartbeats."""
    requests: list[Any] = field(default_factory=list)
    views: queue.Queue[meta_pb2.NodeView | None] = field(default_factory=queue.Queue)
    """What the watch sends; None ends the stream."""
    watches: int = 0
    credentials: grpc.ServerCredentials | None = None
    """Of TLS; None: plain text."""

    def __enter__(self) -> Self:
        self._replays = ReplayCache()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        meta_pb2_grpc.add_MembershipServicer_to_server(self, self._server)
        if self.credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", self.credentials)
        self.address = f"127.0.0.1:{port}"
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.views.put(None)
        self._server.stop(grace=None).wait(5)

    def of_kind(self, kind: type[Any]) -> list[Any]:
        """The requests of one type so far."""
        return [request for request in self.requests if isinstance(request, kind)]

    def Join(
        self, request: meta_pb2.JoinRequest, context: grpc.ServicerContext
    ) -> meta_pb2.JoinReply:
        self._admit("Join", request, context)
        if request.id in self.removed:
            _abort(context, NotFound(f"node {request.id} was removed from this cluster"))
        return meta_pb2.JoinReply(
            id=request.id or self.new_id,
            cluster_id=CLUSTER_ID,
            heartbeat_interval_ms=self.heartbeat_interval_ms,
            member_addresses=[self.address],
        )

    def Heartbeat(
        self, request: meta_pb2.HeartbeatRequest, context: grpc.ServicerContext
    ) -> meta_pb2.HeartbeatReply:
        self._admit("Heartbeat", request, context)
        unknown = self.unknown.pop(0) if self.unknown else False
        return meta_pb2.HeartbeatReply(epoch=self.newest_epoch, unknown=unknown)

    def Leave(
        self, request: meta_pb2.LeaveRequest, context: grpc.ServicerContext
    ) -> meta_pb2.LeaveReply:
        self._admit("Leave", request, context)
        return meta_pb2.LeaveReply()

    def MovesDone(
        self, request: meta_pb2.MovesDoneRequest, context: grpc.ServicerContext
    ) -> meta_pb2.MovesDoneReply:
        self._admit("MovesDone", request, context)
        return meta_pb2.MovesDoneReply(epoch=self.newest_epoch)

    def PeerTicket(
        self, request: meta_pb2.PeerTicketRequest, context: grpc.ServicerContext
    ) -> meta_pb2.Ticket:
        self._admit("PeerTicket", request, context)
        return meta_pb2.Ticket(bytes=b"ticket", lifetime_ms=60_000)

    def WatchNode(
        self, request: meta_pb2.WatchNodeRequest, context: grpc.ServicerContext
    ) -> Iterator[meta_pb2.NodeView]:
        self._admit("WatchNode", request, context)
        self.watches += 1
        while context.is_active():
            try:
                view = self.views.get(timeout=0.02)
            except queue.Empty:
                continue
            if view is None:
                return
            yield view

    def _admit(self, name: str, request: Any, context: grpc.ServicerContext) -> None:
        metadata = dict(context.invocation_metadata())
        verify(
            SECRET,
            str(metadata[SIGNATURE_KEY]),
            f"/holdfast.v1.Membership/{name}",
            body_digest(request.SerializeToString(deterministic=True)),
            now_s=int(time.time()),
            replays=self._replays,
        )
        self.requests.append(request)
        error = self.refuse(name)
        if error is not None:
            _abort(context, error)


def _abort(context: grpc.ServicerContext, error: HoldfastError) -> NoReturn:
    code, message, details = to_wire(error)
    context.set_trailing_metadata(
        (("holdfast-code", code), ("holdfast-details-bin", msgpack.packb(details)))
    )
    context.abort(grpc.StatusCode[error.grpc_status], message)
