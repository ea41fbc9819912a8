"""Members that enter, catch up from a snapshot, leave, and hand leadership over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast_kvstore.errors import HoldfastError
from holdfast_proto import meta_pb2 as meta
from tests.metanode.member_processes import Member, Members, wait_until

pytestmark = [pytest.mark.process, pytest.mark.slow]
SHORT_LOG = "tick_ms = 50\ncompact_entries = 50\nkeep_entries = 10"


def members_of(members: Members) -> dict[int, meta.MemberStatus]:
    status = members.status_of(members.leader())
    return {found.id: found for found in status.members}


def fill(members: Members, spaces: int) -> list[str]:
    client = members.client()
    reply = client.create_tenant("t")
    client.tenant = ("t", reply.api_key)
    for number in range(spaces):
        client.open_space(f"s-{number:04}")
    return client.list_spaces()


def spaces_at(members: Members, member: Member) -> list[str]:
    client = members.client()
    key = client.call(
        "Admin",
        "RotateKey",
        meta.TenantRequest(client_id=client.client_id, sequence=client.next_sequence(), name="t"),
    ).api_key
    client.tenant = ("t", key)
    reply = client.call_at(member.address, "Tenancy", "ListSpaces", meta.ListSpacesRequest())
    return [space.name for space in reply.spaces]


def wait_voter(members: Members, member_id: int) -> None:
    def votes() -> bool:
        found = members_of(members).get(member_id)
        return found is not None and not found.learner and found.reachable

    wait_until(f"member {member_id} to vote", votes)


def test_member_joins_catches_up_from_a_snapshot_and_leaves(tmp_path: Path) -> None:
    with Members(tmp_path, 1, SHORT_LOG) as members:
        members.leader()
        names = fill(members, 200)
        checkpoints = list((members.members[0].data / "state").glob("checkpoint-*"))
        assert checkpoints, "the log was compacted behind a checkpoint"
        for number in (2, 3):
            members.add(number).start()
            wait_voter(members, number)
        members.wait_applied(members.status_of(members.leader()).applied_index)
        assert spaces_at(members, members.member(3)) == names

        client = members.client()
        client.call("Admin", "TransferLeader", meta.MemberRequest(id=3))
        wait_until("member 3 to lead", lambda: members.leader().id == 3)
        client.call("Admin", "RemoveMember", meta.MemberRequest(id=1))
        wait_until("member 1 to be gone", lambda: set(members_of(members)) == {2, 3})
        members.member(1).kill()
        client.create_tenant("after")
        with pytest.raises(HoldfastError, match="removed"):
            client.call("Admin", "AddMember", meta.MemberRequest(id=1, address="127.0.0.1:1"))


def test_removing_the_leader_is_refused(tmp_path: Path) -> None:
    with Members(tmp_path, 3) as members:
        leader = members.leader()
        with pytest.raises(HoldfastError, match="transfer leadership"):
            members.client().call("Admin", "RemoveMember", meta.MemberRequest(id=leader.id))


def test_member_that_lagged_behind_the_log_gets_a_snapshot(tmp_path: Path) -> None:
    with Members(tmp_path, 3, SHORT_LOG) as members:
        leader = members.leader()
        lagging = next(m for m in members.members if m.id != leader.id)
        lagging.kill()
        names = fill(members, 200)
        lagging.start()
        members.wait_applied(members.status_of(members.leader()).applied_index)
        assert spaces_at(members, lagging) == names
        assert list((lagging.data / "state").glob("checkpoint-*")), "it installed a checkpoint"


def test_member_killed_while_it_installs_a_snapshot(tmp_path: Path) -> None:
    with Members(tmp_path, 3, SHORT_LOG) as members:
        leader = members.leader()
        lagging = next(m for m in members.members if m.id != leader.id)
        lagging.kill()
        names = fill(members, 300)
        for _ in range(3):
            lagging.start()
            wait_until("the snapshot to begin", lambda: _receives(lagging), 15)
            lagging.kill()
        lagging.start()
        members.wait_applied(members.status_of(members.leader()).applied_index)
        assert spaces_at(members, lagging) == names


def _receives(member: Member) -> bool:
    folder = member.data / "state"
    return any(folder.glob("incoming-*")) or any(folder.glob("checkpoint-*"))


def test_restart_continues_from_compacted_log(tmp_path: Path) -> None:
    with Members(tmp_path, 1, SHORT_LOG) as members:
        members.leader()
        names = fill(members, 180)
        (only,) = members.members
        assert only.stop() == 0
        only.start()
        wait_until("a leader", members.leader)
        assert spaces_at(members, only) == names


def test_data_folder_of_another_member_is_refused(tmp_path: Path) -> None:
    with Members(tmp_path, 1) as members:
        members.leader()
        (only,) = members.members
        only.stop()
        only.config.write_text(only.config.read_text().replace("id = 1", "id = 7"))
        only.start()
        assert only.process is not None
        assert only.process.wait(15) == 2
        assert "belongs to member 1" in only.log.read_text()


def test_data_folder_in_use_is_said_in_one_sentence(tmp_path: Path) -> None:
    with Members(tmp_path, 1) as members:
        members.leader()
        (only,) = members.members
        text = only.config.read_text().replace(f'"{only.address}"', '"127.0.0.1:0"', 1)
        config = tmp_path / "second.toml"
        config.write_text(text)
        ended = subprocess.run(
            [sys.executable, "-m", "holdfast_metanode", "--config", str(config)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 2
        (said,) = ended.stderr.splitlines()
        assert "is in use by another member: give each member a folder of its own" in said
