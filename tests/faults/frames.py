"""Frames of the block protocol, written by hand from docs/formats.md."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

import holdfast_native

HEADER = struct.Struct("<IBBHIIQQI4x")
"""body_bytes, kind, flags, status, request, deadline_ms, payload_bytes, epoch, check."""
HEADER_BYTES = 40
CHECKED_BYTES = 32
_HELLO = struct.Struct("<4sHHQ16sQ16sB3x140s")
KIND_HELLO = 0x01
KIND_GET = 0x04
STATUS_OK = 0
STATUS_VERSION_SKEW = 2
STATUS_WRONG_CLUSTER = 3
STATUS_WRONG_NODE = 4
STATUS_UNAUTHENTICATED = 5


def frame(
    kind: int, body: bytes, *, body_bytes: int | None = None, payload_bytes: int = 0
) -> bytes:
    """A frame with a right check; `body_bytes` may state another length than the body has."""
    stated = len(body) if body_bytes is None else body_bytes
    head = HEADER.pack(stated, kind, 0, 0, 1, 1000, payload_bytes, 0, 0)[:CHECKED_BYTES]
    check = holdfast_native.crc32c(head + body)
    return head + struct.pack("<I4x", check) + body


def hello(cluster: bytes, node: int, ticket: bytes, *, versions: tuple[int, int] = (1, 1)) -> bytes:
    """The first frame of a connection."""
    body = _HELLO.pack(b"HFBP", *versions, 0, cluster, node, b"c" * 16, 0, ticket)
    return frame(KIND_HELLO, body)


@dataclass(frozen=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body's printable part, where a refusal says why."""
        return self.body.decode("utf-8", "replace")


def read_answer(connection: socket.socket) -> Answer:
    """The next frame. Raises EOFError if the node closed the connection instead."""
    head = _exactly(connection, HEADER_BYTES)
    body_bytes, _, _, status, *_ = HEADER.unpack(head)
    return Answer(status, _exactly(connection, body_bytes))


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise EOFError(f"closed after {len(data)} of {count} bytes")
        data += piece
    return data
