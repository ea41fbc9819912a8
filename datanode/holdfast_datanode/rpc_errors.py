"""Errors of gRPC calls as Holdfast's own."""

from __future__ import annotations

import grpc
import msgpack

from holdfast_kvstore.errors import DeadlineExceeded, HoldfastError, Unavailable, from_wire

CODE_KEY = "holdfast-code"
"""Trailing metadata: the error's stable name."""
DETAILS_KEY = "holdfast-details-bin"
"""Trailing metadata: MessagePack map of strings."""


def from_rpc_error(error: grpc.RpcError, member: str) -> HoldfastError:
    """The error that a metadata member meant, or what happened on the way to it."""
    call = call_of(error)
    if call is None:
        return Unavailable(f"metadata member {member}: {error}")
    trailing = dict(call.trailing_metadata() or ())
    message = call.details() or call.code().name
    code = trailing.get(CODE_KEY)
    if code is not None:
        text = code.decode() if isinstance(code, bytes) else code
        return from_wire(text, message, _details(trailing.get(DETAILS_KEY)))
    if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"metadata member {member} did not answer in time")
    return Unavailable(f"metadata member {member}: {call.code().name}: {message}")


def call_of(error: grpc.RpcError) -> grpc.Call | None:
    """The call that ended with `error`; gRPC raises one object that is both."""
    both: object = error
    return both if isinstance(both, grpc.Call) else None


def _details(packed: str | bytes | None) -> dict[str, str]:
    if not isinstance(packed, bytes):
        return {}
    try:
        found = msgpack.unpackb(packed)
    except (ValueError, msgpack.UnpackException):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
