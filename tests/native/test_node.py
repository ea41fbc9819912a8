"""The Python face of the data node's native half."""

import time
import types
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import holdfast_native as native
from holdfast_kvstore.tickets import Ticket, TicketKind, mint
from tests.native.client_bed import (
    BLOCK_BYTES,
    CLUSTER,
    DEADLINE_MS,
    GROUPS,
    PUT,
    SIGNER,
    SPACE,
    TENANT,
    client_of,
    ended,
    random_keys,
    serving_node,
    whole,
)

ALL_GROUPS = b"\xff"
BLOCKS = 20


@contextmanager
def idle_node(fault_injection: bool = False) -> Iterator[native.Node]:
    node = native.Node(
        cluster=CLUSTER,
        node=2,
        incarnation=1,
        arena_bytes=16 << 20,
        prefault=False,
        huge_pages=False,
        fault_injection=fault_injection,
    )
    try:
        yield node
    finally:
        node.stop(0)


def fill(node: native.Node) -> memoryview:
    """Stores BLOCKS blocks; their keys, uint8[BLOCKS, 32]."""
    keys = random_keys(BLOCKS, 5)
    source = np.random.default_rng(6).integers(0, 256, (BLOCKS, BLOCK_BYTES), dtype=np.uint8)
    client = client_of(node.tcp_address, None)
    segments = whole(native.Region(source.data), BLOCKS)
    statuses = ended(client.start(PUT, SPACE, keys, segments, 0, DEADLINE_MS, False))
    assert statuses == bytes([native.KeyStatus.STORED]) * BLOCKS
    client.close(5000)
    return keys


def node_ticket() -> bytes:
    return mint(
        SIGNER,
        Ticket(
            kind=TicketKind.NODE,
            cluster_id=CLUSTER,
            issued_at_s=0,
            expires_at_s=1 << 40,
            node=2,
        ),
    )


def test_a_setting_out_of_range_is_named() -> None:
    with pytest.raises(native.NodeError, match="reactors is 65; it must be from 1 to 64"):
        native.Node(cluster=CLUSTER, node=1, incarnation=1, arena_bytes=1 << 24, reactors=65)
    with pytest.raises(native.NodeError, match="arena_bytes"):
        native.Node(cluster=CLUSTER, node=1, incarnation=1, arena_bytes=1000)
    with pytest.raises(ValueError, match="cluster has 3 bytes, it must have 16"):
        native.Node(cluster=b"abc", node=1, incarnation=1, arena_bytes=1 << 24)


def test_a_node_starts_once_and_names_its_addresses() -> None:
    with idle_node() as node:
        with pytest.raises(native.NodeError, match="not started"):
            _ = node.tcp_address
        with pytest.raises(native.NodeError, match="host:port"):
            node.start("nonsense", None)
        node.start("127.0.0.1:0", None)
        host, port = node.tcp_address.split(":")
        assert (host, int(port) > 0) == ("127.0.0.1", True)
        assert node.unix_path is None
        with pytest.raises(native.NodeError, match="started already"):
            node.start("127.0.0.1:0", None)


def test_an_address_in_use_is_named() -> None:
    with serving_node() as serving, idle_node() as node:
        with pytest.raises(native.NodeError, match=serving.tcp_address):
            node.start(serving.tcp_address, None)


def test_a_bitmap_of_another_length_is_refused() -> None:
    with idle_node() as node:
        with pytest.raises(native.NodeError, match="12 groups has 2 bytes, this one has 1"):
            node.set_route(1, 12, b"\xff")
        with pytest.raises(native.NodeError, match="12 groups"):
            node.retain_groups(12, b"\xff")


def test_stats_count_requests_and_name_tenants() -> None:
    with serving_node() as node:
        fill(node)
        stats = node.stats()
        assert (stats["blocks"], stats["keys_stored"], stats["requests_put"]) == (20, 20, 1)
        assert stats["bytes_received"] > BLOCKS * BLOCK_BYTES
        assert stats["tenants"][TENANT] >= BLOCKS * BLOCK_BYTES
        assert (stats["epoch"], stats["granted_bytes"], stats["queued_bytes"]) == (1, 0, 0)
        assert stats["protocol_errors"] == stats["panics"] == 0
        # The time of an answer is taken when it is out, which its reader may see first.
        end_s = time.monotonic() + DEADLINE_MS / 1000
        while sum(node.stats()["latency_us_log2"]["put"]) != 1:
            assert time.monotonic() < end_s, "the put was never timed"


def test_groups_and_spaces_are_dropped() -> None:
    with serving_node() as node:
        fill(node)
        while not node.retain_groups(GROUPS, b"\x0f"):
            pass
        assert 0 < node.stats()["blocks"] < BLOCKS
        node.drop_space(SPACE)
        assert node.stats()["blocks"] == 0
        assert node.sweep() == 0


def test_a_peer_is_pulled_from() -> None:
    space = (TENANT, BLOCK_BYTES, 0, 0, 1)
    spaces = types.MappingProxyType({SPACE: space})
    with serving_node() as source, idle_node() as target:
        fill(source)
        address = source.tcp_address
        arguments = (address, 1, node_ticket(), GROUPS, ALL_GROUPS)
        cursor, blocks, nbytes = target.pull(*arguments, 0, 1 << 30, DEADLINE_MS, spaces)
        assert (cursor, blocks, nbytes) == (0, BLOCKS, BLOCKS * BLOCK_BYTES)
        assert target.stats()["blocks"] == BLOCKS
        cursor, blocks, nbytes = target.pull(*arguments, 0, 1 << 30, DEADLINE_MS, spaces)
        assert (cursor, blocks, nbytes) == (0, 0, 0)
        with pytest.raises(native.NodeError, match="node 7 at"):
            target.pull(address, 7, node_ticket(), GROUPS, ALL_GROUPS, 0, 1, DEADLINE_MS, spaces)


def test_bits_flip_only_where_faults_are_injected() -> None:
    with idle_node() as node, pytest.raises(native.NodeError, match="fault_injection"):
        node.flip_bit(SPACE, bytes(16), 0)
    with idle_node(fault_injection=True) as node:
        assert not node.flip_bit(SPACE, bytes(16), 0)
