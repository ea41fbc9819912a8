"""Calls to the metadata cluster: any member takes them, the one that leads answers."""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from holdfast_datanode.rpc_errors import call_of, from_rpc_error
from holdfast_kvstore.errors import (
    DeadlineExceeded,
    HoldfastError,
    NotLeader,
    OutcomeUnknown,
    Unavailable,
)
from holdfast_kvstore.secret import NONCE_BYTES, Secret, body_digest, naming_origin, sign
from holdfast_proto import meta_pb2, meta_pb2_grpc

SIGNATURE_KEY = "holdfast-signature"
_SERVICE = "/holdfast.v1.Membership/"
_MEMBERS_MAX = 16
_ATTEMPT_MS_MAX = 1_500
_BACKOFF_S_MIN, _BACKOFF_S_MAX = 0.02, 0.5
_ENDED_BY_US = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
_ASK_ANOTHER = (Unavailable, DeadlineExceeded, OutcomeUnknown)
_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
)

_Request_contra = TypeVar("_Request_contra", bound=Message, contravariant=True)
_Reply_co = TypeVar("_Reply_co", bound=Message, covariant=True)


class _Method(Protocol[_Request_contra, _Reply_co]):
    def __call__(
        self, request: _Request_contra, /, *, timeout: float, metadata: tuple[tuple[str, str]]
    ) -> _Reply_co: ...


class MetadataClient:
    """The `Membership` service over all members. Safe to share between threads.

    A call goes to the member that last led. Where it is refused there with a leader's address, it
    goes on to that one; where a member cannot be reached, to the next, until its deadline.
    With `authority`, PEM of a certificate authority, every connection uses TLS.
    """

    def __init__(
        self,
        members: Iterable[str],
        secret: Secret,
        authority: bytes | None = None,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._authority = authority
        self._monotonic_s = monotonic_s
        self._unix_s = unix_s
        self._lock = threading.Lock()
        self._members = list(dict.fromkeys(members))[:_MEMBERS_MAX]
        self._preferred = self._members[0]
        self._channels: dict[str, grpc.Channel] = {}
        self._closed = threading.Event()

    @property
    def members(self) -> tuple[str, ...]:
        """Addresses that are tried."""
        with self._lock:
            return tuple(self._members)

    @property
    def preferred(self) -> str:
        """The member that is asked first."""
        with self._lock:
            return self._preferred

    def learn_members(self, addresses: Iterable[str]) -> None:
        """Adds addresses that the cluster told; those known before stay, up to 16 in all."""
        with self._lock:
            known = dict.fromkeys([*self._members, *(a for a in addresses if a)])
            self._members = list(known)[:_MEMBERS_MAX]

    def join(
        self, request: meta_pb2.JoinRequest, deadline_ms: int, cancelled: threading.Event
    ) -> meta_pb2.JoinReply:
        """Makes this node known, or known again. Raises HoldfastError; Unavailable once
        `cancelled` is set."""
        return self._call("Join", lambda stub: stub.Join, request, deadline_ms, cancelled)

    def heartbeat(
        self, request: meta_pb2.HeartbeatRequest, deadline_ms: int
    ) -> meta_pb2.HeartbeatReply:
        """Says that this node lives. Raises HoldfastError."""
        return self._call("Heartbeat", lambda stub: stub.Heartbeat, request, deadline_ms)

    def leave(self, request: meta_pb2.LeaveRequest, deadline_ms: int) -> meta_pb2.LeaveReply:
        """Says that this node stops. Raises HoldfastError."""
        return self._call("Leave", lambda stub: stub.Leave, request, deadline_ms)

    def moves_done(
        self, request: meta_pb2.MovesDoneRequest, deadline_ms: int
    ) -> meta_pb2.MovesDoneReply:
        """Reports groups whose blocks this node has taken over. Raises HoldfastError."""
        return self._call("MovesDone", lambda stub: stub.MovesDone, request, deadline_ms)

    def peer_ticket(self, request: meta_pb2.PeerTicketRequest, deadline_ms: int) -> meta_pb2.Ticket:
        """A ticket for reading on other data nodes. Raises HoldfastError."""
        return self._call("PeerTicket", lambda stub: stub.PeerTicket, request, deadline_ms)

    def watch(
        self,
        request: meta_pb2.WatchNodeRequest,
        deadline_ms: int,
        on_open: Callable[[str, Callable[[], None]], None],
    ) -> Generator[meta_pb2.NodeView, None, None]:
        """Views from one member until the deadline, which ends it without an error.

        `on_open` gets the member's address and a function that ends the stream from any thread.
        Raises HoldfastError when the stream breaks or the member refuses; the next call goes to
        another member.
        """
        member = self.preferred
        method = f"{_SERVICE}WatchNode"
        stream = self._stub(member).WatchNode(
            request, timeout=deadline_ms / 1000, metadata=self._credential(method, request)
        )
        try:
            on_open(member, lambda: _cancel(stream))
            yield from stream
        except grpc.RpcError as error:
            call = call_of(error)
            if call is not None and call.code() in _ENDED_BY_US:
                return
            found = from_rpc_error(error, member)
            self._turn_from(member, found)
            raise found from error
        finally:
            _cancel(stream)

    def close(self) -> None:
        """Ends calls under way and closes every channel."""
        self._closed.set()
        with self._lock:
            channels = list(self._channels.values())
            self._channels.clear()
        for channel in channels:
            channel.close()

    def _call(
        self,
        name: str,
        method_of: Callable[[meta_pb2_grpc.MembershipStub], _Method[_Request_contra, _Reply_co]],
        request: _Request_contra,
        deadline_ms: int,
        cancelled: threading.Event | None = None,
    ) -> _Reply_co:
        ends_at_s = self._monotonic_s() + deadline_ms / 1000
        backoff_s = _BACKOFF_S_MIN
        while True:
            member = self.preferred
            left_s = ends_at_s - self._monotonic_s()
            try:
                return method_of(self._stub(member))(
                    request,
                    timeout=max(0.01, min(left_s, _ATTEMPT_MS_MAX / 1000)),
                    metadata=self._credential(_SERVICE + name, request),
                )
            except grpc.RpcError as error:
                found = from_rpc_error(error, member)
            if not isinstance(found, _ASK_ANOTHER):
                raise naming_origin(found, self._secret)
            redirected = self._turn_from(member, found)
            left_s = ends_at_s - self._monotonic_s()
            if left_s <= 0:
                raise Unavailable(
                    f"no metadata member took {name} within {deadline_ms} ms "
                    f"(tried {', '.join(self.members)}): {found.message}"
                ) from found
            if redirected:
                continue
            pause_s = min(backoff_s * random.uniform(0.5, 1.0), left_s)
            if (cancelled or self._closed).wait(pause_s):
                raise Unavailable(f"{name} was given up: this node stops") from found
            backoff_s = min(2 * backoff_s, _BACKOFF_S_MAX)

    def _turn_from(self, member: str, error: HoldfastError) -> bool:
        """Chooses whom to ask next; True if the member named a leader that was not asked yet."""
        with self._lock:
            if self._preferred != member:
                return False  # another thread has chosen already
            leader = error.leader_address if isinstance(error, NotLeader) else None
            if leader is not None and leader != member:
                if leader not in self._members:
                    self._members = [leader, *self._members][:_MEMBERS_MAX]
                self._preferred = leader
                return True
            here = self._members.index(member) if member in self._members else -1
            self._preferred = self._members[(here + 1) % len(self._members)]
            return False

    def _stub(self, member: str) -> meta_pb2_grpc.MembershipStub:
        with self._lock:
            if self._closed.is_set():
                raise Unavailable("this node stops")
            channel = self._channels.get(member)
            if channel is None:
                channel = self._open(member)
                self._channels[member] = channel
        return meta_pb2_grpc.MembershipStub(channel)

    def _open(self, member: str) -> grpc.Channel:
        if self._authority is None:
            return grpc.insecure_channel(member, options=_CHANNEL_OPTIONS)
        credentials = grpc.ssl_channel_credentials(self._authority)
        return grpc.secure_channel(member, credentials, options=_CHANNEL_OPTIONS)

    def _credential(self, method: str, request: Message) -> tuple[tuple[str, str]]:
        digest = body_digest(request.SerializeToString(deterministic=True))
        nonce = secrets.token_bytes(NONCE_BYTES)
        return ((SIGNATURE_KEY, sign(self._secret, method, digest, int(self._unix_s()), nonce)),)


def _cancel(stream: object) -> None:
    if isinstance(stream, grpc.Call):
        stream.cancel()
