"""A data node and clients of it, in this process, without any Python of the product between."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import holdfast_native as native
from holdfast_kvstore.tickets import Ticket, TicketKind, key_id, mint, public_key_bytes

CLUSTER = bytes(range(16))
TENANT = 3
SPACE = 11
GROUPS = 8
BLOCK_BYTES = 20_000
DEADLINE_MS = 20_000
EXISTS = native.OperationKind.EXISTS
GET = native.OperationKind.GET
PUT = native.OperationKind.PUT
DELETE = native.OperationKind.DELETE
PIN = native.OperationKind.PIN
STAT = native.OperationKind.STAT
SIGNER = Ed25519PrivateKey.from_private_bytes(b"\x2a" * 32)


def ticket(kind: TicketKind, block_bytes: int = 0) -> bytes:
    return mint(
        SIGNER,
        Ticket(
            kind=kind,
            cluster_id=CLUSTER,
            issued_at_s=0,
            expires_at_s=1 << 40,
            tenant=TENANT,
            space=SPACE if kind is TicketKind.SPACE else 0,
            block_bytes=block_bytes,
            copies=1 if kind is TicketKind.SPACE else 0,
        ),
    )


@contextmanager
def serving_node(arena_mib: int = 64, fault_injection: bool = False) -> Iterator[native.Node]:
    node = native.Node(
        cluster=CLUSTER,
        node=1,
        incarnation=1,
        arena_bytes=arena_mib << 20,
        prefault=False,
        huge_pages=False,
        fault_injection=fault_injection,
    )
    public = public_key_bytes(SIGNER)
    node.set_ticket_keys([(key_id(public), public)])
    node.set_route(1, GROUPS, b"\xff")
    with tempfile.TemporaryDirectory() as directory:
        node.start("127.0.0.1:0", str(Path(directory) / "node.sock"))
        try:
            yield node
        finally:
            node.stop(0)


def client_of(tcp_address: str, unix_path: str | None, transport: str = "tcp") -> native.Client:
    client = native.Client(cluster=CLUSTER, client=bytes(16), boot_id="here", transport=transport)
    client.set_tenant_ticket(ticket(TicketKind.TENANT))
    client.bind_space(
        tenant=TENANT,
        space=SPACE,
        block_bytes=BLOCK_BYTES,
        copies=1,
        ticket=ticket(TicketKind.SPACE, BLOCK_BYTES),
    )
    client.set_map(
        epoch=1,
        group_count=GROUPS,
        width=1,
        owners=np.zeros((GROUPS, 1), np.int32).data,
        previous=np.full((GROUPS, 1), -1, np.int32).data,
        nodes=[(1, 1, tcp_address, unix_path or "", "here", True)],
    )
    return client


def random_keys(count: int, seed: int) -> memoryview:
    """uint8[count, 32]."""
    return np.random.default_rng(seed).integers(0, 256, (count, 32), dtype=np.uint8).data


def whole(region: native.Region, blocks: int) -> native.Segments:
    """Blocks one behind the other."""
    planes = [(region, 0, BLOCK_BYTES, 1, 0, BLOCK_BYTES)]
    return native.Segments(planes, np.arange(blocks, dtype=np.int64).data)


def ended(operation: native.Operation) -> bytes:
    assert operation.wait(DEADLINE_MS + 5000), "an operation outlived its deadline"
    return operation.outcome()[0]
