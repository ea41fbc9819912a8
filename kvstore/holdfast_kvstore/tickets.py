"""Tickets: short-lived rights that the metadata leader signs and a data node checks by itself.

Layout, little endian, 140 bytes: magic "HFT1"; u8 kind; u8 version (1); u16 zero; u64 key id;
16 bytes of cluster id; u32 tenant; u32 space; u32 block_bytes; u32 ttl_s; u8 priority; u8 copies;
u16 zero; u64 node; u64 issued_at_s; u64 expires_at_s; then the 64-byte Ed25519 signature (RFC
8032) of all before it. The native crate `wire` is the data node's verifier; golden vectors in
tests/golden/tickets.json hold both to the same bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast_kvstore.errors import InvalidArgument, Unauthenticated, VersionSkew

_CONTENT = struct.Struct("<4sBBHQ16sIIIIBBHQQQ")
_MAGIC = b"HFT1"
_VERSION = 1
_SIGNATURE_BYTES = 64
PUBLIC_KEY_BYTES = 32
"""Bytes of an Ed25519 public key."""
TICKET_BYTES = _CONTENT.size + _SIGNATURE_BYTES
"""Bytes of every ticket."""
assert TICKET_BYTES == 140, "the native verifier expects 140 bytes"


class TicketKind(IntEnum):
    """What a ticket is for."""

    TENANT = 1
    """Opens connections in the name of a tenant."""
    SPACE = 2
    """Binds one space of a tenant."""
    NODE = 3
    """Lets one data node list and read what another holds."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The content of a ticket. Numbers that its kind does not use are 0."""

    kind: TicketKind
    cluster_id: bytes
    """16 bytes."""
    issued_at_s: int
    """Unix seconds."""
    expires_at_s: int
    """Unix seconds; the ticket holds before this second."""
    tenant: int = 0
    space: int = 0
    block_bytes: int = 0
    """Of a space ticket: bytes of what a node stores of one block."""
    ttl_s: int = 0
    priority: int = 0
    copies: int = 0
    """Of a space ticket: owners of each block."""
    node: int = 0
    """Of a node ticket: its holder's id."""


def public_key_bytes(private_key: Ed25519PrivateKey) -> bytes:
    """The 32 bytes of the public key that belongs to `private_key`."""
    return private_key.public_key().public_bytes_raw()


def key_id(public_key: bytes) -> int:
    """The u64 by which tickets name their signer: BLAKE2b's first 8 bytes, little endian."""
    return int.from_bytes(hashlib.blake2b(public_key).digest()[:8], "little")


def mint(private_key: Ed25519PrivateKey, ticket: Ticket) -> bytes:
    """Signs `ticket`: its 140 bytes. Raises InvalidArgument for a number outside its field."""
    if len(ticket.cluster_id) != 16:
        raise InvalidArgument(f"cluster id has {len(ticket.cluster_id)} bytes, it must have 16")
    if ticket.expires_at_s <= ticket.issued_at_s:
        raise InvalidArgument(
            f"ticket would expire at {ticket.expires_at_s} s, not after its issue at "
            f"{ticket.issued_at_s} s"
        )
    try:
        content = _CONTENT.pack(
            _MAGIC,
            ticket.kind,
            _VERSION,
            0,
            key_id(public_key_bytes(private_key)),
            ticket.cluster_id,
            ticket.tenant,
            ticket.space,
            ticket.block_bytes,
            ticket.ttl_s,
            ticket.priority,
            ticket.copies,
            0,
            ticket.node,
            ticket.issued_at_s,
            ticket.expires_at_s,
        )
    except struct.error as error:
        raise InvalidArgument(f"a number of the ticket does not fit its field: {error}") from error
    return content + private_key.sign(content)


def verify(public_keys: Mapping[int, bytes], data: bytes, now_s: int, cluster_id: bytes) -> Ticket:
    """The content of `data`, checked: form, signer, signature, cluster and end, in that order.

    `public_keys` maps `key_id` to 32-byte public keys. Raises Unauthenticated that says which
    check failed, and VersionSkew for a ticket of a version that this build does not know.
    """
    if len(data) != TICKET_BYTES or data[:4] != _MAGIC:
        raise Unauthenticated(
            f"not a ticket: {len(data)} bytes starting with {data[:4].hex()}, expected "
            f"{TICKET_BYTES} bytes starting with {_MAGIC.hex()}"
        )
    content, signature = data[: _CONTENT.size], data[_CONTENT.size :]
    (_, kind, version, _, signer, cluster, *numbers) = _CONTENT.unpack(content)
    if version != _VERSION:
        raise VersionSkew("ticket", str(_VERSION), str(version))
    if kind not in set(TicketKind):
        raise Unauthenticated(f"ticket has the unknown kind {kind}")
    _check_signature(public_keys, signer, content, signature)
    if cluster != cluster_id:
        raise Unauthenticated(
            f"ticket is for cluster {cluster.hex()}, this node belongs to {cluster_id.hex()}"
        )
    tenant, space, block_bytes, ttl_s, priority, copies, _, node, issued_at_s, expires_at_s = (
        numbers
    )
    if now_s >= expires_at_s:
        raise Unauthenticated(
            f"ticket expired {now_s - expires_at_s} s ago: ask the metadata leader for a new one"
        )
    return Ticket(
        kind=TicketKind(kind),
        cluster_id=cluster,
        issued_at_s=issued_at_s,
        expires_at_s=expires_at_s,
        tenant=tenant,
        space=space,
        block_bytes=block_bytes,
        ttl_s=ttl_s,
        priority=priority,
        copies=copies,
        node=node,
    )


def _check_signature(
    public_keys: Mapping[int, bytes], signer: int, content: bytes, signature: bytes
) -> None:
    public_key = public_keys.get(signer)
    if public_key is None:
        raise Unauthenticated(
            f"ticket is signed with key {signer:#018x}, which this cluster does not list"
        )
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, content)
    except (InvalidSignature, ValueError) as error:
        raise Unauthenticated("ticket's signature does not match its content") from error
