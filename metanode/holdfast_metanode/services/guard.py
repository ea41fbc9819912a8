"""Who may call what: checked before any service runs, denied accesses audited.

`Tenancy` wants a tenant's API key, the other services a credential made with the cluster's
secret. Health and reflection are open: they tell nothing about tenants.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError

from holdfast_kvstore.errors import (
    HoldfastError,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
)
from holdfast_kvstore.secret import ReplayCache, Secret, body_digest, verify
from holdfast_metanode import audit
from holdfast_metanode.clock import Clock
from holdfast_metanode.services.failures import end_with, fault
from holdfast_proto import meta_pb2 as meta

_LOG = structlog.get_logger("services")
_PACKAGE = "holdfast.v1"
SIGNATURE = "holdfast-signature"
TENANT = "holdfast-tenant"
KEY = "holdfast-key"

TENANT_CALLER: ContextVar[tuple[str, str]] = ContextVar("tenant_caller")
"""(tenant's name, API key) that the present call came with; the service checks them."""

_ACTS = {
    "Tenancy": {"OpenSpace", "DeleteSpace"},
    "Admin": {
        "CreateTenant", "DeleteTenant", "RotateKey", "RevokeOldKeys", "DrainNode", "UndrainNode",
        "RemoveNode", "SetNodeWeight", "SplitGroups", "AddMember", "RemoveMember", "TransferLeader",
        "RaiseLevel",
    },
    "Membership": {"Join", "Leave"},
    "Raft": {"JoinMember"},
}  # fmt: skip


REQUEST_BYTES_MAX = 1 << 20
"""Of one request; what members stream to each other is bounded by gRPC."""


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc,unused-ignore]
    """Checks credentials, audits, and turns errors into statuses."""

    def __init__(self, secret: Secret, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        self._replays = ReplayCache()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wraps the handlers of this project's services; gRPC calls it."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        service = method.split("/")[1]
        if handler is None or not service.startswith(f"{_PACKAGE}."):
            return handler
        metadata = {
            str(name): value for name, value in handler_call_details.invocation_metadata or ()
        }
        call = _Call(self, method, metadata)
        return call.wrap(handler)

    def check(self, call: _Call, body: bytes | None) -> None:
        """Raises unless the caller may call. `body`: serialised request, None for a stream."""
        if body is not None and len(body) > REQUEST_BYTES_MAX:
            raise InvalidArgument(
                f"request of {len(body)} bytes to {call.method}: {REQUEST_BYTES_MAX} are possible"
            )
        if call.service == "Tenancy":
            tenant, key = call.metadata.get(TENANT), call.metadata.get(KEY)
            if not isinstance(tenant, str) or not isinstance(key, str):
                raise Unauthenticated(
                    f"call has no tenant and API key in the metadata {TENANT} and {KEY}"
                )
            TENANT_CALLER.set((tenant, key))
            return
        credential = call.metadata.get(SIGNATURE)
        if not isinstance(credential, str):
            raise Unauthenticated(f"call has no credential in the metadata {SIGNATURE}")
        digest = b"" if body is None else body_digest(body)
        now_s = self._clock.unix_ms() // 1000
        verify(self._secret, credential, call.method, digest, now_s, self._replays)


class _Call:
    """One call on its way to its service."""

    def __init__(self, guard: Guard, method: str, metadata: dict[str, Any]) -> None:
        self.method = method
        self.metadata = metadata
        self.service = method.split("/")[1].removeprefix(f"{_PACKAGE}.")
        self._name = method.rpartition("/")[2]
        self._guard = guard

    def wrap(self, handler: Any) -> Any:
        """The handler with this call's checks around it; it gets the body as bytes."""
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._guarded_stream_in(handler.stream_unary),
                handler.request_deserializer,
                handler.response_serializer,
            )
        read = handler.request_deserializer
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._guarded_stream_out(handler.unary_stream, read),
                None,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._guarded(handler.unary_unary, read), None, handler.response_serializer
        )

    def _guarded(self, behaviour: Any, read: Any) -> Any:
        async def run(body: bytes, context: Any) -> Any:
            request = None
            try:
                self._guard.check(self, body)
                request = _parsed(read, body)
                answer = await behaviour(request, context)
                self._note(request, context.peer())
                return answer
            except HoldfastError as error:
                await self._refuse(context, request, error)
            except Exception as error:
                await self._fail(context, error)

        return run

    def _guarded_stream_out(self, behaviour: Any, read: Any) -> Any:
        async def run(body: bytes, context: Any) -> AsyncIterator[Any]:
            try:
                self._guard.check(self, body)
                async for answer in behaviour(_parsed(read, body), context):
                    yield answer
            except HoldfastError as error:
                await self._refuse(context, None, error)
            except Exception as error:
                await self._fail(context, error)

        return run

    def _guarded_stream_in(self, behaviour: Any) -> Any:
        async def run(requests: AsyncIterator[Any], context: Any) -> Any:
            try:
                self._guard.check(self, None)
                return await behaviour(requests, context)
            except HoldfastError as error:
                await self._refuse(context, None, error)
            except Exception as error:
                await self._fail(context, error)

        return run

    # ------------------------------------------------------------------------ audit

    @property
    def _actor(self) -> str:
        if self.service == "Tenancy":
            return f"tenant:{str(self.metadata.get(TENANT, ''))[:128]}"
        return "cluster"

    def _is_act(self, request: Any) -> bool:
        if isinstance(request, meta.OpenSpaceRequest) and not request.create:
            return False
        return self._name in _ACTS.get(self.service, ())

    def _note(self, request: Any, peer: str) -> None:
        if self._is_act(request):
            audit.acted(self._actor, self.method, _target(request), peer)

    async def _refuse(self, context: Any, request: Any, error: HoldfastError) -> None:
        if isinstance(error, Unauthenticated | PermissionDenied):
            audit.denied(self._actor, self.method, context.peer(), error.message)
        elif request is not None and self._is_act(request) and not error.retryable:
            audit.failed(self._actor, self.method, _target(request), context.peer(), error.code)
        await end_with(context, error)

    async def _fail(self, context: Any, error: Exception) -> None:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        _LOG.exception("request failed", method=self.method)
        await end_with(context, fault())


def _parsed(read: Callable[[bytes], Any], body: bytes) -> Any:
    try:
        return read(body)
    except DecodeError as error:
        raise InvalidArgument(f"request is not the message that it should be: {error}") from None


def _target(request: Any) -> str:
    for field in ("name", "node", "id", "factor", "level"):
        if hasattr(request, field):
            return f"{field}={getattr(request, field)}"
    return ""
