"""One member through gRPC: who may call what, tickets, watches, health, reflection, audit."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from holdfast_kvstore.cluster_map import NodeState
from holdfast_kvstore.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    SpaceMismatch,
    Unauthenticated,
    WrongCluster,
)
from holdfast_kvstore.map_codec import decode_map
from holdfast_kvstore.secret import Secret, body_digest, sign
from holdfast_kvstore.tickets import TicketKind, key_id, verify
from holdfast_proto import meta_pb2 as meta
from holdfast_proto.meta_pb2_grpc import AdminStub
from tests.metanode.member_processes import Members, wait_until
from tests.metanode.metadata_client import MetadataClient, error_of

pytestmark = pytest.mark.process


@pytest.fixture
def operator(one: Members) -> Iterator[MetadataClient]:
    with MetadataClient([one.members[0].address], one.secret) as client:
        yield client


@pytest.fixture
def tenant(one: Members, operator: MetadataClient) -> Iterator[MetadataClient]:
    """A client of a new tenant."""
    name = f"tenant-{os.urandom(4).hex()}"
    key = operator.create_tenant(name).api_key
    with MetadataClient([one.members[0].address]) as client:
        client.tenant = (name, key)
        yield client


def audit_lines(members: Members) -> list[dict[str, Any]]:
    lines = members.members[0].log.read_text().splitlines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    return [event for event in events if event.get("event") == "audit"]


# ---------------------------------------------------------------- who may call


def test_tenant_needs_its_own_key(one: Members, tenant: MetadataClient) -> None:
    assert tenant.tenant is not None
    name, key = tenant.tenant
    for wrong in ((name, "hf_wrong"), ("nobody", key), (name, "")):
        tenant.tenant = wrong
        with pytest.raises(Unauthenticated):
            tenant.call("Tenancy", "Authenticate", meta.AuthenticateRequest())
    denied = [line for line in audit_lines(one) if line["outcome"] == "denied"]
    assert {f"tenant:{name}", "tenant:nobody"} <= {line["actor"] for line in denied}
    assert key not in one.members[0].log.read_text()


@pytest.mark.parametrize("service", ["Admin", "Membership", "Raft"])
def test_cluster_services_need_the_secret(one: Members, service: str) -> None:
    calls = {
        "Admin": ("Status", meta.StatusRequest()),
        "Membership": ("Join", meta.JoinRequest()),
        "Raft": ("JoinMember", meta.MemberRequest(id=9, address="127.0.0.1:9")),
    }
    address = one.members[0].address
    for secret in (None, Secret(b"another secret!!")):
        with MetadataClient([address], secret) as stranger, pytest.raises(Unauthenticated):
            stranger.call(service, *calls[service])


def test_credential_opens_one_request_once(one: Members) -> None:
    address = one.members[0].address
    body = meta.TenantRequest(name="x")
    method = "/holdfast.v1.Admin/DeleteTenant"
    digest = body_digest(body.SerializeToString())
    credential = sign(one.secret, method, digest, int(time.time()), os.urandom(16))
    metadata = (("holdfast-signature", credential),)
    with grpc.insecure_channel(address) as channel:
        stub = AdminStub(channel)
        answers: list[Exception] = []
        for request in (meta.TenantRequest(name="y"), body, body):
            with pytest.raises(grpc.RpcError) as caught:
                stub.DeleteTenant(request, metadata=metadata, timeout=5)
            answers.append(error_of(caught.value))
    assert [type(answer) for answer in answers] == [Unauthenticated, NotFound, Unauthenticated]


def test_rotated_keys_overlap_until_revoked(
    operator: MetadataClient, tenant: MetadataClient
) -> None:
    assert tenant.tenant is not None
    name, old = tenant.tenant
    request = meta.TenantRequest(client_id=b"rotating", sequence=1, name=name)
    new = operator.call("Admin", "RotateKey", request).api_key
    assert operator.call("Admin", "RotateKey", request).api_key == new  # a retry
    for key in (old, new):
        tenant.tenant = (name, key)
        tenant.call("Tenancy", "Authenticate", meta.AuthenticateRequest())
    operator.call("Admin", "RevokeOldKeys", meta.TenantRequest(name=name))
    tenant.tenant = (name, old)
    with pytest.raises(Unauthenticated):
        tenant.call("Tenancy", "Authenticate", meta.AuthenticateRequest())


def test_administrative_acts_are_audited(one: Members, operator: MetadataClient) -> None:
    operator.create_tenant("audited")
    operator.call("Admin", "DeleteTenant", meta.TenantRequest(name="audited"))
    with pytest.raises(NotFound):
        operator.call("Admin", "DeleteTenant", meta.TenantRequest(name="audited"))
    lines = [
        (line["method"].rpartition("/")[2], line["outcome"])
        for line in audit_lines(one)
        if line.get("target") == "name=audited"
    ]
    assert lines == [
        ("CreateTenant", "done"), ("DeleteTenant", "done"), ("DeleteTenant", "failed"),
    ]  # fmt: skip


# ---------------------------------------------------------------- tenants' calls


def test_tickets_hold_what_data_nodes_check(
    operator: MetadataClient, tenant: MetadataClient
) -> None:
    me = tenant.call("Tenancy", "Authenticate", meta.AuthenticateRequest())
    opened = tenant.open_space("s", 4096, redundancy="mirror:2", ttl_s=60, priority=3)
    value = decode_map(tenant.call("Tenancy", "GetMap", meta.MapRequest()).map)
    keys = {key_id(key): key for key in value.ticket_keys}
    now_s = int(time.time())
    found = verify(keys, me.ticket.bytes, now_s, me.cluster_id)
    assert (found.kind, found.tenant) == (TicketKind.TENANT, me.tenant_number)
    found = verify(keys, opened.ticket.bytes, now_s, me.cluster_id)
    assert found.kind is TicketKind.SPACE
    assert (found.space, found.block_bytes, found.copies) == (opened.space.number, 4096, 2)
    assert (found.ttl_s, found.priority) == (60, 3)
    assert me.ticket.lifetime_ms == (found.expires_at_s - found.issued_at_s - 5) * 1000


def test_tickets_of_shards_tell_data_nodes_of_chunks_and_owners(
    one: Members, operator: MetadataClient, tenant: MetadataClient
) -> None:
    with pytest.raises(FailedPrecondition, match=r"ec:2\+1 needs 2 data nodes to hold"):
        tenant.open_space("cut", 4096, redundancy="ec:2+1", force=True)
    nodes = [
        operator.join(incarnation=7, tcp_address=f"127.0.0.1:{number}", host=f"host-{number}")
        for number in (1, 2)
    ]
    try:
        for node in nodes:
            operator.call(
                "Membership", "Heartbeat", meta.HeartbeatRequest(id=node.id, incarnation=7)
            )
        wait_until(
            "both nodes are up",
            lambda: [n.state for n in operator.status().nodes] == [meta.NODE_STATE_UP] * 2,
        )
        with pytest.raises(FailedPrecondition, match="needs 3 data nodes, 2 of this cluster"):
            tenant.open_space("cut", 4096, redundancy="ec:2+1")
        opened = tenant.open_space("cut", 4096, redundancy="ec:2+1", force=True)
        assert opened.space.block_bytes == 4096
        assert (opened.survival.placed, opened.survival.owners) == (2, 3)
        assert (opened.survival.hosts, opened.survival.failures) == (0, 1)
        assert not tenant.open_space("cut", 4096, create=False).HasField("survival")
        reply = tenant.call("Tenancy", "GetMap", meta.MapRequest())
        value = decode_map(reply.map)
        assert value.width >= 3
        keys = {key_id(key): key for key in value.ticket_keys}
        found = verify(keys, opened.ticket.bytes, int(time.time()), value.cluster_id)
        assert (found.block_bytes, found.copies) == (2048 + 32, 3)
        survivals = {each.redundancy: each for each in operator.status().survivals}
        assert survivals["ec:2+1"].placed == 2
    finally:
        for node in nodes:
            request = meta.NodeRequest(node=node.id, force=True)
            operator.call("Admin", "RemoveNode", request)


def test_space_is_opened_as_it_is(tenant: MetadataClient) -> None:
    tenant.open_space("s", 4096, fingerprint="llama")
    assert tenant.open_space("s", 0, create=False).space.fingerprint == "llama"
    with pytest.raises(SpaceMismatch) as caught:
        tenant.open_space("s", 8192, fingerprint="llama")
    assert (caught.value.stored, caught.value.asked) == ("4096", "8192")
    with pytest.raises(SpaceMismatch):
        tenant.open_space("s", 4096, fingerprint="gemma", create=False)
    with pytest.raises(NotFound):
        tenant.open_space("other", 4096, create=False)
    described = tenant.call("Tenancy", "DescribeSpace", meta.SpaceName(name="s"))
    assert described.block_bytes == 4096
    number = tenant.delete_space("s").number
    assert tenant.open_space("s", 8192).space.number > number
    assert tenant.list_spaces() == ["s"]


@pytest.mark.parametrize(
    ("name", "fingerprint"),
    [("s", "z" * 2_000), ("s", "z" * 9_000_000), ("n" * 9_000_000, ""), ("s", "z" * 500_000)],
    ids=["fingerprint", "huge fingerprint", "huge name", "large fingerprint"],
)
def test_what_is_too_large_is_refused_and_never_logged(
    one: Members, tenant: MetadataClient, name: str, fingerprint: str
) -> None:
    """An entry that the log does not take once ended the member, and the next one, and so on."""
    tenant.open_space("before", 4096)
    logged = one.status_of(one.members[0]).applied_index
    with pytest.raises(InvalidArgument):
        tenant.open_space(name, 4096, fingerprint=fingerprint)
    assert one.status_of(one.members[0]).applied_index == logged
    tenant.open_space("after", 4096)


def test_tenants_do_not_see_each_other(operator: MetadataClient, tenant: MetadataClient) -> None:
    tenant.open_space("mine")
    operator.create_tenant("neighbour")
    key = operator.call("Admin", "RotateKey", meta.TenantRequest(name="neighbour")).api_key
    tenant.tenant = ("neighbour", key)
    assert tenant.list_spaces() == []
    with pytest.raises(NotFound):
        tenant.delete_space("mine")


def test_known_map_is_not_sent_again(tenant: MetadataClient) -> None:
    first = tenant.call("Tenancy", "GetMap", meta.MapRequest())
    assert first.map
    again = tenant.call("Tenancy", "GetMap", meta.MapRequest(known_epoch=first.epoch))
    assert (again.epoch, again.map) == (first.epoch, b"")


# ---------------------------------------------------------------- data nodes' calls


def heartbeat(client: MetadataClient, node: int, incarnation: int = 1) -> meta.HeartbeatReply:
    reply: meta.HeartbeatReply = client.call(
        "Membership", "Heartbeat", meta.HeartbeatRequest(id=node, incarnation=incarnation)
    )
    return reply


def test_watches_are_told_of_changes_promptly(
    one: Members, operator: MetadataClient, tenant: MetadataClient
) -> None:
    node = operator.join(incarnation=1, tcp_address="127.0.0.1:1", host="w").id
    views: list[meta.NodeView] = []
    maps: list[meta.MapReply] = []
    address = one.members[0].address
    watch = operator.stream_at(address, "Membership", "WatchNode", meta.WatchNodeRequest(id=node))
    map_watch = tenant.stream_at(address, "Tenancy", "WatchMap", meta.MapRequest())
    threads = [
        threading.Thread(target=collect, args=(watch, views), daemon=True),
        threading.Thread(target=collect, args=(map_watch, maps), daemon=True),
    ]
    for thread in threads:
        thread.start()
    wait_until("the first view", lambda: views and maps)
    assert views[0].ticket_keys
    number = tenant.open_space("watched").space.number
    wait_until(
        "the space in the view",
        lambda: number in [space.number for space in views[-1].spaces],
        2,
    )
    heartbeat(operator, node)
    wait_until(
        "the node to be up",
        lambda: decode_map(maps[-1].map).node(node).state is NodeState.UP,
    )
    operator.call("Membership", "Leave", meta.LeaveRequest(id=node, incarnation=1))
    wait_until(
        "the node to be down",
        lambda: decode_map(maps[-1].map).node(node).state is NodeState.DOWN,
    )
    assert [v.version for v in views] == sorted({v.version for v in views})
    assert [m.epoch for m in maps] == sorted({m.epoch for m in maps})
    for call in (watch, map_watch):
        call.cancel()
    for thread in threads:
        thread.join(5)


def collect(stream: Any, into: list[Any]) -> None:
    try:
        for item in stream:
            into.append(item)  # noqa: PERF402 - seen by the test as it grows
    except grpc.RpcError:
        return


def test_node_of_another_cluster_is_refused(operator: MetadataClient) -> None:
    with pytest.raises(WrongCluster):
        operator.join(incarnation=1, tcp_address="127.0.0.1:1", cluster_id=b"x" * 16)


def test_heartbeat_of_a_stranger_says_join_again(operator: MetadataClient) -> None:
    node = operator.join(incarnation=5, tcp_address="127.0.0.1:1", host="s").id
    assert not heartbeat(operator, node, 5).unknown
    assert heartbeat(operator, node, 6).unknown
    assert heartbeat(operator, node + 1_000).unknown


def test_peer_ticket_names_its_holder(operator: MetadataClient, tenant: MetadataClient) -> None:
    node = operator.join(incarnation=5, tcp_address="127.0.0.1:1", host="p").id
    request = meta.PeerTicketRequest(id=node, incarnation=5)
    ticket = operator.call("Membership", "PeerTicket", request)
    value = decode_map(tenant.call("Tenancy", "GetMap", meta.MapRequest()).map)
    keys = {key_id(key): key for key in value.ticket_keys}
    found = verify(keys, ticket.bytes, int(time.time()), value.cluster_id)
    assert (found.kind, found.node) == (TicketKind.NODE, node)
    with pytest.raises(FailedPrecondition):
        operator.call("Membership", "PeerTicket", meta.PeerTicketRequest(id=node, incarnation=6))


def test_weights_are_whole_numbers(operator: MetadataClient) -> None:
    node = operator.join(incarnation=1, tcp_address="127.0.0.1:1", host="x").id
    request = meta.NodeRequest(node=node, weight=3)
    assert operator.call("Admin", "SetNodeWeight", request).node.weight == 3
    with pytest.raises(InvalidArgument):
        operator.call("Admin", "SetNodeWeight", meta.NodeRequest(node=node, weight=0.5))


# ---------------------------------------------------------------- standard services


def test_health_and_reflection(one: Members) -> None:
    with grpc.insecure_channel(one.members[0].address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING

        def serves(service: str) -> bool:
            request = health_pb2.HealthCheckRequest(service=service)
            return bool(health.Check(request, timeout=5).status == serving)

        for service in ("", "holdfast.v1.Tenancy"):
            wait_until("health", partial(serves, service))
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        listed = reflection.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
        )
        names = {service.name for service in next(listed).list_services_response.service}
        listed.cancel()
    assert {"holdfast.v1.Tenancy", "holdfast.v1.Admin", "grpc.health.v1.Health"} <= names


def test_garbage_is_a_clean_error(one: Members) -> None:
    address = one.members[0].address
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary("/holdfast.v1.Tenancy/OpenSpace")
        metadata = (("holdfast-tenant", "a"), ("holdfast-key", "b"))
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\xff\xff\xff not protobuf", metadata=metadata, timeout=5)
    assert isinstance(error_of(caught.value), InvalidArgument)
    assert one.members[0].running
