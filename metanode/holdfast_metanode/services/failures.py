"""Errors on their way out: a gRPC status, and code and details in the trailing metadata."""

from __future__ import annotations

from typing import NoReturn, Protocol

import grpc
import msgpack

from holdfast_kvstore.errors import HoldfastError, Internal, to_wire

CODE = "holdfast-code"
DETAILS = "holdfast-details-bin"


class AnyContext(Protocol):
    """What this needs of a `grpc.aio.ServicerContext`, whatever its message types."""

    def set_trailing_metadata(self, trailing_metadata: tuple[tuple[str, str | bytes], ...]) -> None:
        """Metadata sent with the status."""

    async def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        """Ends the call."""


async def end_with(context: AnyContext, error: HoldfastError) -> NoReturn:
    """Ends the call with `error`, so that the caller can raise the same."""
    code, message, details = to_wire(error)
    context.set_trailing_metadata(((CODE, code), (DETAILS, msgpack.packb(details))))
    await context.abort(grpc.StatusCode[error.grpc_status], message)
    raise AssertionError("abort raises")


def fault() -> Internal:
    """What a caller hears of an error that nobody foresaw; the log has the rest."""
    return Internal("the metadata member failed on this request: see its log, and report it")
