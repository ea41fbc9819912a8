"""A node's threads against a member that answers as the test says, over real gRPC."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_datanode.identity import DataDirectory, Identity
from holdfast_datanode.membership import Description, Membership
from holdfast_datanode.metadata_client import MetadataClient
from holdfast_datanode.view import View
from holdfast_kvstore.errors import (
    HoldfastError,
    NotFound,
    NotLeader,
    StaleEpoch,
    Unauthenticated,
    Unavailable,
    WrongCluster,
)
from holdfast_kvstore.map_codec import encode_map
from holdfast_proto import meta_pb2
from tests.datanode.certificates import self_signed
from tests.datanode.maps import cluster_map
from tests.datanode.membership_service import CLUSTER_ID, SECRET, MembershipService
from tests.datanode.native_twin import NodeTwin
from tests.datanode.waiting import wait_for

DESCRIPTION = Description(
    incarnation=99,
    tcp_address="127.0.0.1:7400",
    unix_path="",
    boot_id="boot",
    host="host",
    rack="rack",
    weight=64,
    capacity_bytes=64 << 20,
)
NOBODY = "127.0.0.1:1"
DEADLINE_MS = 5_000


class Rig:
    """A membership of its own over some members."""

    def __init__(self, folder: Path, *members: str, authority: bytes | None = None) -> None:
        self.directory = DataDirectory(folder)
        self.metadata = MetadataClient(members, SECRET, authority)
        self.fatal: list[HoldfastError] = []
        self.membership = Membership(
            self.metadata, self.directory, DEADLINE_MS, on_fatal=self.fatal.append
        )
        self.node = NodeTwin()
        self.view = View(42, self.node)

    def start(self) -> None:
        self.membership.join(DESCRIPTION, DEADLINE_MS)
        self.membership.start(self.view, lambda: {"used_bytes": 7, "hits": 3, "tenants": {}})

    def close(self) -> None:
        self.membership.stop(5)
        self.metadata.close()


@pytest.fixture
def service() -> Iterator[MembershipService]:
    with MembershipService() as service:
        yield service


@pytest.fixture
def rig(tmp_path: Path, service: MembershipService) -> Iterator[Rig]:
    rig = Rig(tmp_path, service.address)
    yield rig
    rig.close()


def view_of(version: int, epoch: int) -> meta_pb2.NodeView:
    return meta_pb2.NodeView(
        version=version, epoch=epoch, map=encode_map(cluster_map([[1]], epoch=epoch))
    )


def test_the_first_join_gives_an_id_that_is_kept(rig: Rig, service: MembershipService) -> None:
    identity = rig.membership.join(DESCRIPTION, DEADLINE_MS)
    assert identity == Identity(42, CLUSTER_ID)
    assert rig.directory.load_identity() == identity
    (request,) = service.of_kind(meta_pb2.JoinRequest)
    assert (request.id, request.cluster_id) == (0, b"")
    assert (request.incarnation, request.weight, request.rack) == (99, 64, "rack")


def test_a_later_join_names_the_id(tmp_path: Path, service: MembershipService) -> None:
    DataDirectory(tmp_path).store_identity(Identity(7, CLUSTER_ID))
    rig = Rig(tmp_path, service.address)
    assert rig.membership.join(DESCRIPTION, DEADLINE_MS).node == 7
    (request,) = service.of_kind(meta_pb2.JoinRequest)
    assert (request.id, request.cluster_id) == (7, CLUSTER_ID)
    rig.close()


def test_another_cluster_is_refused(tmp_path: Path, service: MembershipService) -> None:
    stored = Identity(7, bytes(16))
    DataDirectory(tmp_path).store_identity(stored)
    rig = Rig(tmp_path, service.address)
    with pytest.raises(WrongCluster) as caught:
        rig.membership.join(DESCRIPTION, DEADLINE_MS)
    assert caught.value.expected == stored.cluster_id.hex()
    assert caught.value.found == CLUSTER_ID.hex()
    assert rig.directory.load_identity() == stored
    rig.close()


def test_a_refusal_is_raised_as_the_member_meant_it(rig: Rig, service: MembershipService) -> None:
    service.refuse = lambda _: NotFound("node 7 was removed", node="7")
    with pytest.raises(NotFound, match="node 7 was removed") as caught:
        rig.membership.join(DESCRIPTION, DEADLINE_MS)
    assert caught.value.details == {"node": "7"}
    assert len(service.requests) == 1


def test_a_join_goes_on_to_a_member_that_answers(
    tmp_path: Path, service: MembershipService
) -> None:
    rig = Rig(tmp_path, NOBODY, service.address)
    assert rig.membership.join(DESCRIPTION, DEADLINE_MS).node == 42
    assert rig.metadata.preferred == service.address
    rig.close()


def test_a_follower_names_the_leader(tmp_path: Path, service: MembershipService) -> None:
    with MembershipService(refuse=lambda _: NotLeader(service.address)) as follower:
        rig = Rig(tmp_path, follower.address)
        assert rig.membership.join(DESCRIPTION, DEADLINE_MS).node == 42
        assert rig.metadata.preferred == service.address
        assert service.address in rig.metadata.members
        rig.close()


def test_members_are_spoken_to_over_tls_when_their_authority_is_known(tmp_path: Path) -> None:
    authority, credentials = self_signed()
    with MembershipService(credentials=credentials) as service:
        rig = Rig(tmp_path, service.address, authority=authority)
        assert rig.membership.join(DESCRIPTION, DEADLINE_MS).node == 42
        rig.close()
        stranger = Rig(tmp_path, service.address, authority=self_signed()[0])
        with pytest.raises(Unavailable):
            stranger.membership.join(DESCRIPTION, 500)
        stranger.close()


def test_a_join_that_nobody_takes_ends_at_its_deadline(tmp_path: Path) -> None:
    rig = Rig(tmp_path, NOBODY)
    with pytest.raises(Unavailable, match="within 300 ms"):
        rig.membership.join(DESCRIPTION, 300)
    rig.close()


def test_a_join_ends_when_the_node_is_told_to_stop(tmp_path: Path) -> None:
    rig = Rig(tmp_path, NOBODY)
    cancelled = threading.Event()
    threading.Timer(0.1, cancelled.set).start()
    with pytest.raises(Unavailable, match="this node stops"):
        rig.membership.join(DESCRIPTION, 600_000, cancelled)
    rig.close()


def test_heartbeats_carry_the_load_and_the_epoch(rig: Rig, service: MembershipService) -> None:
    rig.start()
    service.views.put(view_of(version=1, epoch=6))
    wait_for(lambda: [h for h in service.of_kind(meta_pb2.HeartbeatRequest) if h.epoch == 6][1:])
    heartbeat = service.of_kind(meta_pb2.HeartbeatRequest)[-1]
    assert (heartbeat.id, heartbeat.incarnation) == (42, 99)
    assert (heartbeat.load.used_bytes, heartbeat.load.hits) == (7, 3)


def test_a_new_map_is_told_at_once(rig: Rig, service: MembershipService) -> None:
    service.heartbeat_interval_ms = 3_600_000
    rig.start()

    def last_told() -> tuple[int, int]:
        heartbeats = service.of_kind(meta_pb2.HeartbeatRequest)
        return (heartbeats[-1].epoch, heartbeats[-1].load.epoch) if heartbeats else (-1, -1)

    wait_for(lambda: last_told() == (0, 0))
    service.views.put(view_of(version=1, epoch=6))
    wait_for(lambda: last_told() == (6, 6))
    service.views.put(view_of(version=2, epoch=7))
    wait_for(lambda: last_told() == (7, 7))
    heartbeats = len(service.of_kind(meta_pb2.HeartbeatRequest))
    service.views.put(view_of(version=3, epoch=7))
    wait_for(lambda: rig.view.version == 3)
    assert len(service.of_kind(meta_pb2.HeartbeatRequest)) == heartbeats


def test_a_node_that_the_cluster_forgot_joins_again(rig: Rig, service: MembershipService) -> None:
    service.unknown = [True]
    rig.start()
    wait_for(lambda: len(service.of_kind(meta_pb2.JoinRequest)) == 2)
    assert service.of_kind(meta_pb2.JoinRequest)[1].id == 42
    seen = len(service.of_kind(meta_pb2.HeartbeatRequest))
    wait_for(lambda: len(service.of_kind(meta_pb2.HeartbeatRequest)) > seen + 1)
    assert rig.fatal == []


def test_a_node_that_was_removed_ends_and_is_a_new_one_when_it_is_started_again(
    rig: Rig, service: MembershipService
) -> None:
    rig.start()
    service.removed, service.new_id, service.unknown = {42}, 43, [True]
    wait_for(lambda: rig.fatal)
    assert isinstance(rig.fatal[0], NotFound)
    assert rig.directory.load_identity() is None
    again = Rig(rig.directory.path, service.address)
    assert again.membership.join(DESCRIPTION, DEADLINE_MS) == Identity(43, CLUSTER_ID)
    again.close()
    assert rig.directory.load_identity() == Identity(43, CLUSTER_ID)


def test_a_node_that_was_removed_while_it_stood_joins_as_a_new_one(
    tmp_path: Path, service: MembershipService
) -> None:
    DataDirectory(tmp_path).store_identity(Identity(7, CLUSTER_ID))
    service.removed = {7}
    rig = Rig(tmp_path, service.address)
    assert rig.membership.join(DESCRIPTION, DEADLINE_MS) == Identity(42, CLUSTER_ID)
    assert [request.id for request in service.of_kind(meta_pb2.JoinRequest)] == [7, 0]
    assert rig.directory.load_identity() == Identity(42, CLUSTER_ID)
    assert '"node": 7' in (tmp_path / "identity-removed-7.json").read_text()
    rig.close()


def test_heartbeats_outlast_any_other_refusal(rig: Rig, service: MembershipService) -> None:
    rig.start()
    service.refuse = lambda name: Unauthenticated("clock") if name == "Heartbeat" else None
    wait_for(lambda: rig.membership.heartbeats_failed >= 2)
    service.refuse = lambda _: None
    seen = len(service.of_kind(meta_pb2.HeartbeatRequest))
    wait_for(lambda: len(service.of_kind(meta_pb2.HeartbeatRequest)) > seen + 1)
    assert rig.fatal == []


def test_views_are_applied_as_they_come(rig: Rig, service: MembershipService) -> None:
    rig.start()
    service.views.put(view_of(version=1, epoch=3))
    wait_for(lambda: rig.view.epoch == 3)
    service.views.put(view_of(version=2, epoch=4))
    wait_for(lambda: rig.view.epoch == 4)
    assert [epoch for epoch, _, _ in rig.node.routes] == [3, 4]


def test_a_stream_that_ended_is_opened_again_from_the_version_that_is_known(
    rig: Rig, service: MembershipService
) -> None:
    rig.start()
    service.views.put(view_of(version=5, epoch=3))
    wait_for(lambda: rig.view.version == 5)
    service.views.put(None)
    wait_for(lambda: service.watches >= 2)
    assert service.of_kind(meta_pb2.WatchNodeRequest)[-1].known_version == 5


def test_a_damaged_map_is_not_applied_and_the_next_one_is(
    rig: Rig, service: MembershipService
) -> None:
    damaged = view_of(version=1, epoch=3)
    damaged.map = b"HFCM" + damaged.map[6:]
    rig.start()
    service.views.put(damaged)
    wait_for(lambda: service.watches >= 2)
    service.views.put(view_of(version=2, epoch=4))
    wait_for(lambda: rig.view.epoch == 4)
    assert rig.fatal == []


def test_a_watch_that_lags_behind_the_heartbeats_is_opened_anew(
    rig: Rig, service: MembershipService
) -> None:
    rig.start()
    service.views.put(view_of(version=1, epoch=3))
    wait_for(lambda: rig.view.epoch == 3)
    service.newest_epoch = 4
    wait_for(lambda: service.watches >= 2)


def test_moves_and_leave_name_the_incarnation(rig: Rig, service: MembershipService) -> None:
    rig.membership.join(DESCRIPTION, DEADLINE_MS)
    rig.membership.report_moves(8, [1, 2])
    rig.membership.leave(DEADLINE_MS)
    (moves,) = service.of_kind(meta_pb2.MovesDoneRequest)
    assert (moves.id, moves.incarnation, moves.epoch, list(moves.groups)) == (42, 99, 8, [1, 2])
    (leave,) = service.of_kind(meta_pb2.LeaveRequest)
    assert (leave.id, leave.incarnation) == (42, 99)
    assert rig.membership.peer_ticket().bytes == b"ticket"


def test_a_stale_report_is_not_repeated_by_itself(rig: Rig, service: MembershipService) -> None:
    rig.membership.join(DESCRIPTION, DEADLINE_MS)
    service.refuse = lambda _: StaleEpoch(9, 8)
    with pytest.raises(StaleEpoch):
        rig.membership.report_moves(8, [1])
    assert len(service.of_kind(meta_pb2.MovesDoneRequest)) == 1


def test_a_leave_that_nobody_takes_is_no_error(tmp_path: Path, service: MembershipService) -> None:
    rig = Rig(tmp_path, service.address)
    rig.membership.join(DESCRIPTION, DEADLINE_MS)
    service.refuse = lambda _: Unavailable("no quorum")
    rig.membership.leave(200)
    rig.close()
