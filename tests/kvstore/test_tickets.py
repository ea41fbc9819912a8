"""Tickets: what is signed is read back, and nothing else opens anything."""

import dataclasses
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from holdfast_kvstore import InvalidArgument, Ticket, TicketKind, Unauthenticated, VersionSkew
from holdfast_kvstore.tickets import TICKET_BYTES, key_id, mint, public_key_bytes, verify
from tests.kvstore.golden_file import golden

CLUSTER = bytes(range(16))
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = public_key_bytes(PRIVATE)
KEYS = {key_id(PUBLIC): PUBLIC}
TICKETS = {
    "tenant": Ticket(TicketKind.TENANT, CLUSTER, 1_800_000_000, 1_800_000_600, tenant=7),
    "space": Ticket(
        TicketKind.SPACE,
        CLUSTER,
        1_800_000_000,
        1_800_000_600,
        tenant=7,
        space=42,
        block_bytes=1 << 20,
        ttl_s=3_600,
        priority=3,
        copies=2,
    ),
    "node": Ticket(TicketKind.NODE, CLUSTER, 1_800_000_000, 1_800_000_600, node=2**63 + 5),
}
UINT32 = st.integers(0, 2**32 - 1)
UINT8 = st.integers(0, 255)


def vectors() -> dict[str, Any]:
    """What tests/golden/tickets.json holds; native tests read the same file."""
    made = []
    for name, ticket in TICKETS.items():
        fields = dataclasses.asdict(ticket) | {"cluster_id": CLUSTER.hex(), "kind": ticket.kind}
        made.append({"name": name, "fields": fields, "bytes": mint(PRIVATE, ticket).hex()})
    return {
        "private_key": bytes(range(32)).hex(),
        "public_key": PUBLIC.hex(),
        "key_id": f"{key_id(PUBLIC):016x}",
        "holds_at_s": 1_800_000_599,
        "expired_at_s": 1_800_000_600,
        "tickets": made,
    }


def test_tickets_are_those_of_the_golden_file() -> None:
    assert golden("tickets.json", vectors()) == vectors()


@pytest.mark.parametrize("ticket", TICKETS.values(), ids=TICKETS.keys())
def test_a_ticket_holds_until_its_end(ticket: Ticket) -> None:
    data = mint(PRIVATE, ticket)
    assert len(data) == TICKET_BYTES
    assert verify(KEYS, data, ticket.expires_at_s - 1, CLUSTER) == ticket
    with pytest.raises(Unauthenticated, match="expired 0 s ago"):
        verify(KEYS, data, ticket.expires_at_s, CLUSTER)


@given(
    st.builds(
        Ticket,
        kind=st.sampled_from(TicketKind),
        cluster_id=st.binary(min_size=16, max_size=16),
        issued_at_s=st.integers(0, 2**40),
        expires_at_s=st.integers(2**40 + 1, 2**63),
        tenant=UINT32,
        space=UINT32,
        block_bytes=UINT32,
        ttl_s=UINT32,
        priority=UINT8,
        copies=UINT8,
        node=st.integers(0, 2**64 - 1),
    )
)
def test_every_ticket_is_read_back_as_it_was_signed(ticket: Ticket) -> None:
    assert verify(KEYS, mint(PRIVATE, ticket), 0, ticket.cluster_id) == ticket


@given(st.integers(0, TICKET_BYTES * 8 - 1))
def test_a_flipped_bit_opens_nothing(bit: int) -> None:
    data = bytearray(mint(PRIVATE, TICKETS["space"]))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises((Unauthenticated, VersionSkew)):
        verify(KEYS, bytes(data), 1_800_000_000, CLUSTER)


@given(st.binary(max_size=200))
def test_garbage_opens_nothing(data: bytes) -> None:
    with pytest.raises(Unauthenticated):
        verify(KEYS, data, 0, CLUSTER)


def test_another_key_or_cluster_is_refused_by_name() -> None:
    data = mint(PRIVATE, TICKETS["tenant"])
    with pytest.raises(Unauthenticated, match=f"{key_id(PUBLIC):#018x}"):
        verify({}, data, 0, CLUSTER)
    with pytest.raises(Unauthenticated, match=f"{CLUSTER.hex()}.*{bytes(16).hex()}"):
        verify(KEYS, data, 0, bytes(16))
    other = public_key_bytes(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    with pytest.raises(Unauthenticated, match="signature"):
        verify({key_id(PUBLIC): other}, data, 0, CLUSTER)


def test_what_does_not_fit_is_not_signed() -> None:
    with pytest.raises(InvalidArgument, match="16"):
        mint(PRIVATE, dataclasses.replace(TICKETS["tenant"], cluster_id=b"short"))
    with pytest.raises(InvalidArgument, match="field"):
        mint(PRIVATE, dataclasses.replace(TICKETS["tenant"], tenant=2**32))
    with pytest.raises(InvalidArgument, match="expire"):
        mint(PRIVATE, dataclasses.replace(TICKETS["tenant"], expires_at_s=1))
