"""gRPC channels to other members: options, TLS, signed calls."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import msgpack

from holdfast_kvstore.errors import Corrupt, HoldfastError, Unavailable, from_wire
from holdfast_kvstore.secret import NONCE_BYTES, Secret, body_digest, sign
from holdfast_metanode.clock import Clock
from holdfast_metanode.config import TlsSection

MESSAGE_BYTES_MAX = 64 << 20
"""Bytes of one gRPC message between members."""
_SIGNATURE = "holdfast-signature"
OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A member that restarts is tried again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
"""Of every channel and server of the metadata cluster."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Content of the PEM files."""

    certificate: bytes
    key: bytes
    authority: bytes

    @classmethod
    def read(cls, section: TlsSection) -> TlsFiles:
        """Raises OSError."""
        return cls(
            section.certificate.read_bytes(),
            section.key.read_bytes(),
            section.authority.read_bytes(),
        )

    def server_credentials(self) -> grpc.ServerCredentials:
        """For the listening side."""
        return grpc.ssl_server_credentials([(self.key, self.certificate)])

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For the calling side."""
        return grpc.ssl_channel_credentials(self.authority)


class Channels:
    """Makes channels, and the credentials of single calls."""

    def __init__(self, secret: Secret, clock: Clock, tls: TlsFiles | None) -> None:
        self._secret = secret
        self._clock = clock
        self._tls = tls

    def open_async(self, address: str) -> grpc.aio.Channel:
        """A channel for the event loop that is running."""
        if self._tls is None:
            return grpc.aio.insecure_channel(address, options=OPTIONS)
        return grpc.aio.secure_channel(address, self._tls.channel_credentials(), options=OPTIONS)

    def open(self, address: str) -> grpc.Channel:
        """A channel for threads."""
        if self._tls is None:
            return grpc.insecure_channel(address, options=OPTIONS)
        return grpc.secure_channel(address, self._tls.channel_credentials(), options=OPTIONS)

    def signed(self, method: str, body: bytes | None) -> tuple[tuple[str, str], ...]:
        """Metadata of one call. `body`: serialised request, None for a stream."""
        credential = sign(
            self._secret,
            method,
            b"" if body is None else body_digest(body),
            self._clock.unix_ms() // 1000,
            os.urandom(NONCE_BYTES),
        )
        return ((_SIGNATURE, credential),)


def error_of(error: grpc.RpcError | grpc.aio.AioRpcError) -> HoldfastError:
    """What the other member raised, or Unavailable if it did not answer."""
    trailing: Any = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    metadata = dict(trailing or ())
    code = metadata.get("holdfast-code")
    text = (error.details() if hasattr(error, "details") else None) or str(error)
    if not isinstance(code, str):
        return Unavailable(f"the other metadata member did not answer: {text}")
    try:
        details = msgpack.unpackb(metadata.get("holdfast-details-bin", b"\x80"))
    except ValueError as fault:
        raise Corrupt(f"error details are not MessagePack: {fault}") from error
    return from_wire(code, text, {str(name): str(value) for name, value in details.items()})


def checked_pieces(pieces: Iterator[Any]) -> Iterator[bytes]:
    """Content of `SnapshotPiece`s in order. Raises Corrupt, Unavailable."""
    offset, last = 0, False
    try:
        for piece in pieces:
            if piece.offset != offset or zlib.crc32(piece.bytes) != piece.crc32:
                raise Corrupt(
                    f"piece at {piece.offset} of checkpoint {piece.index} is torn or out of "
                    f"order, {offset} was expected: fetch it again"
                )
            offset += len(piece.bytes)
            last = piece.last
            yield piece.bytes
    except grpc.RpcError as error:
        raise error_of(error) from error
    if not last:
        raise Corrupt(f"checkpoint ended after {offset} bytes without a last piece")
