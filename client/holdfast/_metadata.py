"""Calls to the metadata cluster: redirects, retries and deadlines over all of its members."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterable, Iterator
from threading import Event, Lock
from typing import Protocol, TypeVar

import grpc
import msgpack
from google.protobuf.message import Message

from holdfast._credentials import Credential
from holdfast._fork_gate import GATE
from holdfast._members import Members
from holdfast._metadata_methods import Method, Reply
from holdfast._tls import Tls
from holdfast.errors import (
    Closed,
    DeadlineExceeded,
    HoldfastError,
    Internal,
    InvalidArgument,
    NotLeader,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from holdfast_kvstore.errors import from_wire

ATTEMPTS_MAX = 200
"""Attempts of one call; its deadline normally ends it before."""
ATTEMPT_S = 2.0
"""Longest time of one attempt: a member that hangs must not use up the whole deadline."""
ATTEMPT_S_TELLING = 0.1
"""An attempt that had less time ends by that, and says less than the one before it."""
PAUSE_S_MIN = 0.02
PAUSE_S_MAX = 0.5
CLIENT_ID_BYTES = 16
UNREACHED = "unreached"
"""`details["reason"]` of an Unavailable that no member has answered."""
_PLAIN_TO_TLS = "Socket closed"
"""What gRPC says, among others, of a server that speaks TLS when asked without."""
_CLOSED_MEANWHILE = "the cluster object was closed during this call"
Reply_co = TypeVar("Reply_co", bound=Message, covariant=True)
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", 64 << 20),
    # Streams are read by their reader's thread: gRPC's own would be inside it at every fork.
    ("SingleThreadedUnaryStream", 1),
)
_BY_STATUS: dict[grpc.StatusCode, type[HoldfastError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNIMPLEMENTED: Unsupported,
    grpc.StatusCode.CANCELLED: Closed,
}


class MetadataClient:
    """Makes calls as one caller, with one client id. Safe between threads.

    A call asks the member that answered last; a member that fails or follows makes it ask the
    next one, or the leader that it names, until the deadline. Commands carry `client_id` and a
    sequence of `next_sequence`, so that a repeated one applies once.
    """

    def __init__(
        self, addresses: Iterable[str], credential: Credential, tls: Tls | None = None
    ) -> None:
        """Raises InvalidArgument for addresses, ConfigInvalid for TLS files that do not hold."""
        self.members = Members(addresses)
        self.client_id = os.urandom(CLIENT_ID_BYTES)
        self._credential = credential
        self._tls = None if tls is None else tls.credentials()
        self._lock = Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self._sequence = 0
        self._closed = Event()

    def next_sequence(self) -> int:
        """The number of the caller's next command."""
        with self._lock:
            self._sequence += 1
            return self._sequence

    def call(self, method: Method[Reply], request: Message, deadline_s: float) -> Reply:
        """One call. Raises what the cluster answered, or Unavailable or DeadlineExceeded when
        no member gave a final answer within `deadline_s`."""
        end = time.monotonic() + deadline_s
        last: HoldfastError | None = None
        pause_s = PAUSE_S_MIN
        redirected = False
        for _ in range(ATTEMPTS_MAX):
            left_s = end - time.monotonic()
            if left_s <= 0:
                break
            address = self.members.current()
            try:
                return self._attempt(address, method, request, min(left_s, ATTEMPT_S))
            except HoldfastError as error:
                if not error.retryable:
                    raise
                failure = error
            if last is None or left_s >= ATTEMPT_S_TELLING:
                last = failure
            redirected = self._redirected(address, failure) and not redirected
            if redirected:
                continue  # at once, but never twice in a row: two members may name each other
            self._closed.wait(min(pause_s * random.uniform(0.5, 1.0), max(0.0, left_s)))
            pause_s = min(pause_s * 2, PAUSE_S_MAX)
        raise self._gave_up(method, deadline_s, last)

    def stream(self, method: Method[Reply], request: Message, timeout_s: float) -> Watch[Reply]:
        """One streaming call at the present member; it is not repeated. Raises Closed."""
        address = self.members.current()
        body = request.SerializeToString()
        start = self._channel(address).unary_stream(
            method.path, request_serializer=_as_is, response_deserializer=method.reply.FromString
        )
        headers = self._credential.headers(method.path, body)
        try:
            with GATE.inside():
                call = start(body, timeout=timeout_s, metadata=headers)
        except ValueError:  # gRPC's word for a channel that was closed since
            raise Closed(_CLOSED_MEANWHILE) from None
        return Watch(address, call)

    def close(self) -> None:
        """Ends calls under way and closes every channel."""
        self._closed.set()
        with self._lock:
            channels = list(self._channels.values())
            self._channels.clear()
        with GATE.inside():
            for channel in channels:
                channel.close()

    def _attempt(
        self, address: str, method: Method[Reply], request: Message, timeout_s: float
    ) -> Reply:
        body = request.SerializeToString()
        start = self._channel(address).unary_unary(
            method.path, request_serializer=_as_is, response_deserializer=method.reply.FromString
        )
        headers = self._credential.headers(method.path, body)
        try:
            with GATE.inside():
                return start(body, timeout=timeout_s, metadata=headers)
        except grpc.RpcError as error:
            raise public_error(error, address) from None
        except ValueError:
            raise Closed(_CLOSED_MEANWHILE) from None

    def _redirected(self, address: str, error: HoldfastError) -> bool:
        """Chooses the next member; True if the leader is known and may be asked at once."""
        if isinstance(error, NotLeader) and error.leader_address not in (None, "", address):
            self.members.prefer(str(error.leader_address))
            return True
        self.members.failed(address)
        return False

    def _gave_up(
        self, method: Method[Reply], deadline_s: float, last: HoldfastError | None
    ) -> HoldfastError:
        name = method.path.rpartition("/")[2]
        asked = ", ".join(self.members.all())
        why = f": {last.message}" if last is not None else ""
        text = f"{name} found no answer within {deadline_s:g} s at metadata members {asked}{why}"
        if not isinstance(last, Unavailable):
            return DeadlineExceeded(text)
        if last.details.get("reason") != UNREACHED:
            return Unavailable(text)
        if self._tls is None and _PLAIN_TO_TLS in last.message:
            text += (
                "; if it speaks TLS, give --authority (HOLDFAST_AUTHORITY; in Python "
                "tls=holdfast.Tls(...))"
            )
        return Unavailable(text, reason=UNREACHED)

    def _channel(self, address: str) -> grpc.Channel:
        with self._lock:
            if self._closed.is_set():
                raise Closed("the cluster object is closed: connect again")
            channel = self._channels.get(address)
            if channel is None:
                channel = self._open(address)
                self._channels[address] = channel
            return channel

    def _open(self, address: str) -> grpc.Channel:
        with GATE.inside():
            if self._tls is not None:
                return grpc.secure_channel(address, self._tls, options=_OPTIONS)
            return grpc.insecure_channel(address, options=_OPTIONS)


class _Stream(Protocol[Reply_co]):
    """What gRPC answers for a streaming call."""

    def __next__(self) -> Reply_co: ...

    def cancel(self) -> object: ...


class Watch(Iterator[Reply]):
    """The answers of a streaming call; ends with StopIteration or a public error. To be cancelled
    by whoever made it, however it has ended."""

    def __init__(self, address: str, call: _Stream[Reply]) -> None:
        self.address = address
        self.cancelled = False
        self._call = call
        GATE.add_stream(self, self.cancel)

    def __next__(self) -> Reply:
        try:
            with GATE.inside():
                return next(self._call)
        except grpc.RpcError as error:
            raise self._failed(error) from None

    def _failed(self, error: grpc.RpcError) -> HoldfastError:
        # gRPC raises the call itself: by its trace it would hold itself, and all that the reader's
        # frames hold, until a collector comes.
        error.__traceback__ = None
        return public_error(error, self.address)

    def cancel(self) -> None:
        """Ends it; whoever iterates meets Closed."""
        self.cancelled = True
        GATE.remove_stream(self)
        self._call.cancel()


def _as_is(body: bytes) -> bytes:
    return body


def public_error(error: grpc.RpcError, address: str) -> HoldfastError:
    """The error that the server at `address` raised, or what its gRPC status stands for."""
    status = error.code()
    details = error.details() or ""
    trailers = _trailers(error)
    code = trailers.get("holdfast-code")
    if isinstance(code, str):
        return from_wire(code, details, _details(trailers.get("holdfast-details-bin")))
    kind = _BY_STATUS.get(status, Internal)
    text = f"metadata member {address} answered {status.name}: {details}"
    return kind(text, reason=UNREACHED) if kind is Unavailable else kind(text)


def _trailers(error: grpc.RpcError) -> dict[str, str | bytes]:
    return {item.key: item.value for item in error.trailing_metadata() or ()}


def _details(packed: str | bytes | None) -> dict[str, str]:
    if not isinstance(packed, bytes):
        return {}
    try:
        found = msgpack.unpackb(packed)
    except (ValueError, msgpack.UnpackException):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(key): str(value) for key, value in found.items()}
