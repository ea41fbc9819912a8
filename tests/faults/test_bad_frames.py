"""Garbage, truncated and oversized frames on every port, and callers that are not who they say."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

import holdfast
from holdfast._credentials import TenantCredential
from holdfast._metadata import MetadataClient
from holdfast._metadata_methods import AUTHENTICATE
from holdfast_proto import meta_pb2 as pb
from tests.client.blocks import check_blocks, put_blocks
from tests.faults import frames

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

SILENCE_S = 10.0
"""A peer that sends nonsense must hear of it, or be cut, within this time."""


@dataclass(frozen=True)
class Target:
    """A running cluster and what a stranger would need to talk to its data node."""

    running: holdfast.LocalCluster
    tcp_address: str
    unix_path: str
    member_address: str
    node: int
    cluster: bytes
    ticket: bytes


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """One cluster for all of these tests: none of them may hurt it."""
    with holdfast.local(data_nodes=1, arena_mib=32) as running:
        metadata = MetadataClient([running.address], TenantCredential(running.tenant, running.key))
        who = metadata.call(AUTHENTICATE, pb.AuthenticateRequest(), 5)
        metadata.close()
        node = running.admin.list_nodes().nodes[0]
        yield Target(
            running=running,
            tcp_address=node.tcp_address,
            unix_path=node.unix_path,
            member_address=running.address,
            node=node.id,
            cluster=who.cluster_id,
            ticket=who.ticket.bytes,
        )


@pytest.fixture(autouse=True)
def serves_on(target: Target) -> Iterator[None]:
    """Whatever a test sent, others are served afterwards."""
    yield
    with target.running.connect(transport="tcp") as cluster:
        name = f"after-{os.urandom(4).hex()}"
        space = cluster.space(name, block_bytes=512, create=True)
        put_blocks(space, 0, 4)
        check_blocks(space, 0, 4)


def open_tcp(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), SILENCE_S)


def open_unix(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SILENCE_S)
    connection.connect(path)
    return connection


PORTS: dict[str, Callable[[Target], socket.socket]] = {
    "data node, TCP": lambda target: open_tcp(target.tcp_address),
    "data node, Unix socket": lambda target: open_unix(target.unix_path),
    "metadata member": lambda target: open_tcp(target.member_address),
}


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(4096),
        b"\xff" * 4096,
        frames.frame(frames.KIND_GET, b"x" * 64),
        frames.frame(0x7E, b""),
        frames.frame(frames.KIND_HELLO, b"", body_bytes=0xFFFF_FFFF),
        frames.frame(frames.KIND_HELLO, b"", payload_bytes=2**63),
        frames.frame(frames.KIND_HELLO, b"short"),
    ],
    ids=["http", "zeros", "ones", "get-first", "unknown", "oversized", "payload", "short"],
)
def test_nonsense_ends_the_connection(target: Target, port: str, garbage: bytes) -> None:
    with closing(PORTS[port](target)) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        assert reads_until_the_end(connection) < 1 << 20


@pytest.mark.parametrize("port", PORTS)
def test_random_bytes_end_the_connection(target: Target, port: str) -> None:
    seed = random.SystemRandom().getrandbits(64)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for _ in range(50):
        with closing(PORTS[port](target)) as connection:
            with_error = dice.randbytes(dice.randint(1, 2000))
            try:
                connection.sendall(with_error)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                continue
            assert reads_until_the_end(connection) < 1 << 20


def test_a_hello_cut_at_every_length_ends_the_connection(target: Target) -> None:
    whole = frames.hello(target.cluster, target.node, target.ticket)
    for length in range(0, len(whole), 7):
        with closing(open_tcp(target.tcp_address)) as connection:
            connection.sendall(whole[:length])
            connection.shutdown(socket.SHUT_WR)
            assert reads_until_the_end(connection) < 4096


def test_a_hello_that_never_comes_is_not_waited_for_for_long(target: Target) -> None:
    with closing(open_tcp(target.tcp_address)) as connection:
        assert reads_until_the_end(connection) < 4096


def test_a_right_hello_is_welcome(target: Target) -> None:
    answer = ask(target, frames.hello(target.cluster, target.node, target.ticket))
    assert answer.status == frames.STATUS_OK


def test_another_version_is_refused_naming_both(target: Target) -> None:
    answer = ask(
        target, frames.hello(target.cluster, target.node, target.ticket, versions=(70, 75))
    )
    assert answer.status == frames.STATUS_VERSION_SKEW
    assert "70" in answer.text
    assert "75" in answer.text
    assert "1" in answer.text


def test_another_cluster_is_refused_naming_both(target: Target) -> None:
    other = bytes(range(16))
    answer = ask(target, frames.hello(other, target.node, target.ticket))
    assert answer.status == frames.STATUS_WRONG_CLUSTER
    assert other.hex() in answer.text
    assert target.cluster.hex() in answer.text


def test_another_node_is_refused_naming_both(target: Target) -> None:
    answer = ask(target, frames.hello(target.cluster, 987654, target.ticket))
    assert answer.status == frames.STATUS_WRONG_NODE
    assert "987654" in answer.text
    assert str(target.node) in answer.text


@pytest.mark.parametrize("damage", ["none", "forged", "zeros"])
def test_a_ticket_that_the_leader_did_not_sign_is_refused(target: Target, damage: str) -> None:
    ticket = {
        "none": b"",
        "forged": target.ticket[:-1] + bytes([target.ticket[-1] ^ 1]),
        "zeros": bytes(140),
    }[damage]
    answer = ask(target, frames.hello(target.cluster, target.node, ticket))
    assert answer.status == frames.STATUS_UNAUTHENTICATED


def test_an_operator_needs_the_clusters_secret(target: Target) -> None:
    from holdfast._admin import AdminClient
    from holdfast_kvstore.secret import Secret

    with (
        AdminClient([target.member_address], Secret(b"another secret than theirs")) as stranger,
        pytest.raises(holdfast.Unauthenticated),
    ):
        stranger.status()


def ask(target: Target, hello: bytes) -> frames.Answer:
    with closing(open_tcp(target.tcp_address)) as connection:
        connection.sendall(hello)
        return frames.read_answer(connection)


def reads_until_the_end(connection: socket.socket) -> int:
    """Bytes until the peer closes; a timeout fails the test."""
    count = 0
    try:
        while piece := connection.recv(65536):
            count += len(piece)
    except ConnectionError:
        pass
    return count
