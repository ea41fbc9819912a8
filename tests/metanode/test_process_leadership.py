"""Followers name the leader and read by read index; leadership is handed over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from holdfast_kvstore.errors import HoldfastError, NotLeader, OutcomeUnknown, Unavailable
from holdfast_proto import meta_pb2 as meta
from tests.metanode.member_processes import Members, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_follower_names_the_leader_and_reads_what_was_just_written(three: Members) -> None:
    leader = three.leader()
    three.wait_applied(1)  # two elect a leader while the third is still starting
    followers = [member for member in three.members if member.id != leader.id]
    client = three.client()
    client.tenant = ("t", client.create_tenant("t").api_key)
    for number in range(20):
        space = client.open_space(f"s{number}").space
        for follower in followers:
            # Linearizable: acknowledged before the read began, so it shows.
            found = client.call_at(
                follower.address, "Tenancy", "DescribeSpace", meta.SpaceName(name=f"s{number}")
            )
            assert found.number == space.number
    wait_until("followers to know the leader", lambda: three.status_of(followers[0]).leader_id)
    for service, method, request in (
        ("Tenancy", "OpenSpace", meta.OpenSpaceRequest(name="new", create=True, block_bytes=1)),
        ("Admin", "CreateTenant", meta.CreateTenantRequest(name="new")),
        ("Membership", "Heartbeat", meta.HeartbeatRequest(id=1, incarnation=1)),
    ):
        with pytest.raises(NotLeader) as caught:
            client.call_at(followers[0].address, service, method, request)
        assert caught.value.leader_address == leader.address


def test_without_a_majority_nothing_is_acknowledged_or_read(tmp_path: Path) -> None:
    with Members(tmp_path, 3, "tick_ms = 50\ncommand_deadline_ms = 1500") as members:
        leader = members.leader()
        client = members.client()
        client.tenant = ("t", client.create_tenant("t").api_key)
        for member in members.members:
            if member.id != leader.id:
                member.kill()
        started = time.monotonic()
        request = meta.OpenSpaceRequest(name="lost", create=True, block_bytes=1)
        with pytest.raises(HoldfastError) as write:
            client.call_at(leader.address, "Tenancy", "OpenSpace", request, timeout_s=8)
        assert isinstance(write.value, OutcomeUnknown | Unavailable)
        with pytest.raises(Unavailable):
            client.call_at(
                leader.address, "Tenancy", "ListSpaces", meta.ListSpacesRequest(), timeout_s=8
            )
        assert time.monotonic() - started < 8
        assert members.status_of(leader).cluster_id  # answers without a leader, too


def test_leader_that_is_stopped_hands_over_first(three: Members) -> None:
    leader = three.leader()
    client = three.client()
    client.create_tenant("before")
    three.wait_applied(1)
    assert leader.stop() == 0
    started = time.monotonic()
    client.create_tenant("after")
    # An election alone would take at least ten ticks of 50 ms after the leader fell silent.
    took_s = time.monotonic() - started
    assert took_s < 5, took_s
    wait_until("another leader", lambda: three.leader().id != leader.id)


def test_leadership_is_handed_over_by_an_operator(three: Members) -> None:
    leader = three.leader()
    heir = next(member for member in three.members if member.id != leader.id)
    three.wait_applied(1)
    client = three.client()
    client.call("Admin", "TransferLeader", meta.MemberRequest(id=heir.id))
    wait_until("the heir to lead", lambda: three.leader().id == heir.id)
    client.create_tenant("after")
