"""A small synchronous client of the metadata services, for tests and benches."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
import msgpack

from holdfast_kvstore.errors import HoldfastError, NotLeader, Unavailable, from_wire
from holdfast_kvstore.secret import Secret, body_digest, sign
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import AdminStub, MembershipStub, RaftStub, TenancyStub

Answer = TypeVar("Answer")


class MetadataClient:
    """Calls one member at a time; follows the leader; repeats what may be repeated."""

    def __init__(self, addresses: Sequence[str], secret: Secret | None = None) -> None:
        self._addresses = list(addresses)
        self._secret = secret
        self._channels: dict[str, grpc.Channel] = {}
        self._at = self._addresses[0]
        self.tenant: tuple[str, str] | None = None
        self.client_id = os.urandom(16)
        self.sequence = 0
        self._pause = threading.Event()

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    def __enter__(self) -> MetadataClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    # ------------------------------------------------------------------------ calls

    def call_at(
        self, address: str, service: str, method: str, request: Any, timeout_s: float = 5
    ) -> Any:
        """One call at one member; raises HoldfastError."""
        try:
            return self._stub(address, service, method)(
                request,
                metadata=self._metadata(service, method, request),
                timeout=timeout_s,
            )
        except grpc.RpcError as error:
            raise error_of(error) from error

    def call(self, service: str, method: str, request: Any, deadline_s: float = 15) -> Any:
        """Repeats at other members until one answers or the deadline is over."""
        until = time.monotonic() + deadline_s
        while True:
            try:
                return self.call_at(self._at, service, method, request)
            except HoldfastError as error:
                if not error.retryable or time.monotonic() > until:
                    raise
                self._at = self._next(error)
                self._pause.wait(0.02)

    def _next(self, error: HoldfastError) -> str:
        if isinstance(error, NotLeader) and error.leader_address:
            return error.leader_address
        if self._at not in self._addresses:
            return self._addresses[0]
        place = self._addresses.index(self._at)
        return self._addresses[(place + 1) % len(self._addresses)]

    def stream_at(self, address: str, service: str, method: str, request: Any) -> Any:
        return self._stub(address, service, method)(
            request, metadata=self._metadata(service, method, request), timeout=60
        )

    def _stub(self, address: str, service: str, method: str) -> Callable[..., Any]:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = grpc.insecure_channel(
                address,
                options=(
                    ("grpc.initial_reconnect_backoff_ms", 50),
                    ("grpc.min_reconnect_backoff_ms", 50),
                    ("grpc.max_reconnect_backoff_ms", 200),
                    ("grpc.max_receive_message_length", 64 << 20),
                ),
            )
        stubs = {
            "Admin": AdminStub,
            "Membership": MembershipStub,
            "Raft": RaftStub,
            "Tenancy": TenancyStub,
        }
        found: Callable[..., Any] = getattr(stubs[service](channel), method)
        return found

    def _metadata(self, service: str, method: str, request: Any) -> tuple[tuple[str, str], ...]:
        if service == "Tenancy":
            name, key = self.tenant or ("", "")
            return (("holdfast-tenant", name), ("holdfast-key", key))
        if self._secret is None:
            return ()
        return signed(self._secret, f"/holdfast.v1.{service}/{method}", request)

    # ------------------------------------------------------------------------ operations

    def status(self) -> meta.StatusReply:
        reply: meta.StatusReply = self.call("Admin", "Status", meta.StatusRequest())
        return reply

    def create_tenant(self, name: str, limit_bytes: int = 0) -> meta.CreateTenantReply:
        reply: meta.CreateTenantReply = self.call(
            "Admin",
            "CreateTenant",
            meta.CreateTenantRequest(
                client_id=self.client_id,
                sequence=self.next_sequence(),
                name=name,
                limit_bytes=limit_bytes,
            ),
        )
        return reply

    def open_space(self, name: str, block_bytes: int = 4096, **more: Any) -> meta.OpenSpaceReply:
        more.setdefault("create", True)
        reply: meta.OpenSpaceReply = self.call(
            "Tenancy",
            "OpenSpace",
            meta.OpenSpaceRequest(
                client_id=self.client_id,
                sequence=self.next_sequence(),
                name=name,
                block_bytes=block_bytes,
                **more,
            ),
        )
        return reply

    def delete_space(self, name: str) -> meta.DeleteSpaceReply:
        reply: meta.DeleteSpaceReply = self.call(
            "Tenancy",
            "DeleteSpace",
            meta.DeleteSpaceRequest(
                client_id=self.client_id, sequence=self.next_sequence(), name=name
            ),
        )
        return reply

    def list_spaces(self) -> list[str]:
        reply = self.call("Tenancy", "ListSpaces", meta.ListSpacesRequest())
        return [space.name for space in reply.spaces]

    def join(self, **fields: Any) -> meta.JoinReply:
        fields.setdefault("weight", 1.0)
        reply: meta.JoinReply = self.call("Membership", "Join", meta.JoinRequest(**fields))
        return reply


def signed(secret: Secret, method: str, request: Any) -> tuple[tuple[str, str], ...]:
    """Metadata that opens one call of a cluster service."""
    digest = body_digest(request.SerializeToString())
    credential = sign(secret, method, digest, int(time.time()), os.urandom(16))
    return (("holdfast-signature", credential),)


def error_of(error: Any) -> HoldfastError:
    """What the server raised, as a `grpc.RpcError` carries it."""
    metadata = dict(error.trailing_metadata() or ())
    code = metadata.get("holdfast-code")
    if code is None:
        return Unavailable(str(error.details()))
    return from_wire(code, error.details(), msgpack.unpackb(metadata["holdfast-details-bin"]))
