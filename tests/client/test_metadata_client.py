"""Calls to the metadata cluster: redirects, retries, deadlines, errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import grpc
import pytest

import holdfast
from holdfast._credentials import ClusterCredential, TenantCredential
from holdfast._metadata import UNREACHED, MetadataClient
from holdfast._metadata_methods import DESCRIBE_SPACE, OPEN_SPACE, STATUS, WATCH_MAP
from holdfast.local_cluster.layout import free_ports
from holdfast_kvstore.secret import ReplayCache, Secret, body_digest, verify
from holdfast_proto import meta_pb2 as pb
from tests.client.fake_members import Answer, FakeMember
from tests.metanode.test_process_tls import make_certificate

Make = Callable[[Answer], FakeMember]


@pytest.fixture
def member() -> Iterator[Make]:
    with ExitStack() as stack:

        def make(answer: Answer) -> FakeMember:
            made = FakeMember(answer)
            stack.callback(made.stop)
            return made

        yield make


def client_of(*addresses: str) -> MetadataClient:
    return MetadataClient(addresses, TenantCredential("team", "key"))


def describe(client: MetadataClient, deadline_s: float = 5) -> pb.SpaceInfo:
    return client.call(DESCRIBE_SPACE, pb.SpaceName(name="space"), deadline_s)


def found(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
    return pb.SpaceInfo(name="space", number=7).SerializeToString()


def test_a_follower_names_the_leader_which_is_asked_from_then_on(member: Make) -> None:
    leader = member(found)

    def redirect(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        raise holdfast.NotLeader(leader.address)

    follower = member(redirect)
    client = client_of(follower.address)
    assert describe(client).number == 7
    assert describe(client).number == 7
    assert (len(follower.asked), len(leader.asked)) == (1, 2)
    client.close()


def test_two_members_that_name_each_other_end_at_the_deadline(member: Make) -> None:
    addresses: list[str] = []

    def answer(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        raise holdfast.NotLeader(addresses[0] if context.peer() else None)

    first, second = member(answer), member(answer)
    addresses.append(second.address)
    client = client_of(first.address, second.address)
    start = time.monotonic()
    with pytest.raises(holdfast.Unavailable, match=r"DescribeSpace found no answer within 0\.6 s"):
        describe(client, 0.6)
    assert time.monotonic() - start < 2
    assert len(first.asked) + len(second.asked) < 40
    client.close()


def test_a_dead_member_is_passed_over(member: Make) -> None:
    alive = member(found)
    client = client_of(f"127.0.0.1:{free_ports(1)[0]}", alive.address)
    assert describe(client).number == 7
    client.close()


def test_a_member_that_hangs_takes_a_part_of_the_deadline_only(member: Make) -> None:
    release = Event()

    def hang(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        release.wait(10)
        return b""

    hanging, alive = member(hang), member(found)
    client = client_of(hanging.address, alive.address)
    try:
        assert describe(client, 5).number == 7
    finally:
        release.set()
        client.close()


def test_a_retry_repeats_client_id_and_sequence(member: Make) -> None:
    seen: list[tuple[bytes, int]] = []

    def answer(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        request = pb.OpenSpaceRequest.FromString(body)
        seen.append((request.client_id, request.sequence))
        if len(seen) < 3:
            raise holdfast.OutcomeUnknown("the answer was lost")
        return pb.OpenSpaceReply().SerializeToString()

    client = client_of(member(answer).address)
    request = pb.OpenSpaceRequest(client_id=client.client_id, sequence=client.next_sequence())
    client.call(OPEN_SPACE, request, 5)
    assert seen == [(client.client_id, 1)] * 3
    client.close()


def test_the_servers_error_arrives_as_its_class_with_its_details(member: Make) -> None:
    def answer(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        raise holdfast.SpaceMismatch("team/space", "block_bytes", "4096", "8192")

    server = member(answer)
    client = client_of(server.address)
    with pytest.raises(holdfast.SpaceMismatch) as caught:
        describe(client)
    assert (caught.value.stored, caught.value.asked) == ("4096", "8192")
    assert len(server.asked) == 1
    client.close()


def test_an_error_of_grpc_itself_becomes_a_public_one(member: Make) -> None:
    def answer(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such key")
        raise AssertionError("abort raises")

    client = client_of(member(answer).address)
    with pytest.raises(holdfast.Unauthenticated, match="no such key"):
        describe(client)
    client.close()


def test_nobody_there_is_unavailable_and_names_the_addresses() -> None:
    port = free_ports(1)[0]
    client = client_of(f"127.0.0.1:{port}")
    with pytest.raises(holdfast.Unavailable, match=f"127.0.0.1:{port}"):
        describe(client, 0.5)
    client.close()


def test_closing_ends_a_call_under_way(member: Make) -> None:
    client = client_of(f"127.0.0.1:{free_ports(1)[0]}")
    client.close()
    with pytest.raises(holdfast.Closed):
        describe(client)


def test_headers_of_a_tenant_and_of_an_operator(member: Make) -> None:
    headers: list[dict[str, str | bytes]] = []
    bodies: list[bytes] = []

    def answer(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        headers.append(dict(context.invocation_metadata()))
        bodies.append(body)
        return b""

    address = member(answer).address
    tenant = client_of(address)
    describe(tenant)
    tenant.close()
    assert headers[0]["holdfast-tenant"] == "team"
    assert headers[0]["holdfast-key"] == "key"

    secret = Secret(b"s" * 32)
    operator = MetadataClient([address], ClusterCredential(secret))
    operator.call(STATUS, pb.StatusRequest(), 5)
    operator.close()
    verify(
        secret,
        str(headers[1]["holdfast-signature"]),
        STATUS.path,
        body_digest(bodies[1]),
        int(time.time()),
        ReplayCache(),
    )


def test_a_key_is_not_shown() -> None:
    assert "hunter2" not in repr(TenantCredential("team", "hunter2"))


def test_a_member_that_speaks_tls_is_told_by_the_missing_authority(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    pair = ((tmp_path / "tls.key").read_bytes(), (tmp_path / "tls.pem").read_bytes())
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    client = client_of(f"127.0.0.1:{port}")
    try:
        with pytest.raises(holdfast.Unavailable, match="if it speaks TLS, give --authority"):
            describe(client, 1)
    finally:
        client.close()
        server.stop(0).wait(5)


def test_a_member_that_does_not_run_is_not_taken_for_one_with_tls() -> None:
    client = client_of(f"127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(holdfast.Unavailable) as caught:
        describe(client, 0.5)
    assert "TLS" not in caught.value.message
    assert caught.value.details["reason"] == UNREACHED
    client.close()


def test_a_member_that_answered_was_reached(member: Make) -> None:
    def answer(name: str, body: bytes, context: grpc.ServicerContext) -> bytes:
        raise holdfast.NotLeader(None)

    client = client_of(member(answer).address)
    with pytest.raises(holdfast.Unavailable) as caught:
        describe(client, 0.3)
    assert "reason" not in caught.value.details
    client.close()


@pytest.mark.parametrize("address", ["http://127.0.0.1:7300", "dns:///host:7300", "host/x:7300"])
def test_an_address_with_a_slash_is_refused_at_once(address: str) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="leave out http://"):
        holdfast.connect(address, tenant="team", key="key")


@pytest.mark.parametrize("address", ["", "host", "host:", ":7300", "host:0", "host:65536", " , "])
def test_an_address_must_be_host_and_port(address: str) -> None:
    with pytest.raises(holdfast.InvalidArgument):
        holdfast.connect(address, tenant="team", key="key")


def test_connecting_sends_nothing() -> None:
    cluster = holdfast.connect("192.0.2.1:7300", tenant="team", key="key")
    assert "not used yet" in repr(cluster)
    cluster.close()
    with pytest.raises(holdfast.Closed):
        cluster.space("space")


def test_a_stream_whose_channel_closes_before_it_starts_is_closed(member: Make) -> None:
    class Closing(TenantCredential):
        """Asked for between the channel and the call."""

        def headers(self, method: str, body: bytes) -> tuple[tuple[str, str], ...]:
            client.close()
            return super().headers(method, body)

    client = MetadataClient([member(found).address], Closing("team", "key"))
    with pytest.raises(holdfast.Closed):
        client.stream(WATCH_MAP, pb.MapRequest(), 5)
