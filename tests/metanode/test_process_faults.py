"""Members that are killed, stopped and started again: nothing acknowledged is lost."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from holdfast_kvstore.errors import HoldfastError
from tests.metanode.member_processes import Members, wait_until
from tests.metanode.metadata_client import MetadataClient

pytestmark = [pytest.mark.process, pytest.mark.slow]
WRITERS = 16


class Writers:
    """Clients that create spaces as fast as they can and note what was acknowledged."""

    def __init__(self, members: Members, tenant: str, key: str) -> None:
        self.acknowledged: dict[str, int] = {}
        self.unexpected: list[HoldfastError] = []
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(members.client(), tenant, key, number))
            for number in range(WRITERS)
        ]

    def _write(self, client: MetadataClient, tenant: str, key: str, number: int) -> None:
        client.tenant = (tenant, key)
        count = 0
        while not self._stopping.is_set():
            name = f"space-{number}-{count}"
            count += 1
            try:
                self.acknowledged[name] = client.open_space(name).space.number
            except HoldfastError as error:
                self.unexpected.append(error)

    def __enter__(self) -> Writers:
        for thread in self._threads:
            thread.start()
        return self

    def wait_for(self, more: int) -> None:
        wanted = len(self.acknowledged) + more
        wait_until(f"{more} more commands", lambda: len(self.acknowledged) >= wanted, 30)

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a call hangs past its deadline"


def check_kept(members: Members, writers: Writers, tenant: str, key: str) -> None:
    """Every acknowledged space is there under its number, at every member; no number twice."""
    assert not writers.unexpected, writers.unexpected[:3]
    numbers = list(writers.acknowledged.values())
    assert len(set(numbers)) == len(numbers)
    client = members.client()
    client.tenant = (tenant, key)
    for member in members.members:
        if not member.running:
            continue

        def listed(address: str = member.address) -> dict[str, int]:
            from holdfast_proto import meta_pb2 as meta

            reply = client.call_at(address, "Tenancy", "ListSpaces", meta.ListSpacesRequest())
            return {space.name: space.number for space in reply.spaces}

        found = wait_until(f"a read at member {member.id}", listed)
        missing = {
            name: number
            for name, number in writers.acknowledged.items()
            if found.get(name) != number
        }
        assert not missing, f"member {member.id} lost {len(missing)} acknowledged spaces"


def make_tenant(members: Members) -> tuple[str, str]:
    members.leader()
    reply = members.client().create_tenant("load")
    return "load", reply.api_key


def test_leader_killed_under_load(three: Members) -> None:
    tenant, key = make_tenant(three)
    with Writers(three, tenant, key) as writers:
        writers.wait_for(50)
        for _ in range(2):
            victim = three.leader()
            victim.kill()
            writers.wait_for(50)
            victim.start()
            three.leader()
            writers.wait_for(20)
    three.wait_applied(three.status_of(three.leader()).applied_index)
    check_kept(three, writers, tenant, key)


def test_all_members_killed_at_once(three: Members) -> None:
    tenant, key = make_tenant(three)
    with Writers(three, tenant, key) as writers:
        writers.wait_for(100)
        for member in three.members:
            member.signal(signal.SIGKILL)
        for member in three.members:
            member.kill()
        for member in three.members:
            member.start()
        writers.wait_for(50)
    check_kept(three, writers, tenant, key)


def test_stopped_leader_is_replaced_and_comes_back(three: Members) -> None:
    tenant, key = make_tenant(three)
    with Writers(three, tenant, key) as writers:
        writers.wait_for(50)
        paused = three.leader()
        paused.signal(signal.SIGSTOP)
        until = time.monotonic() + 20
        writers.wait_for(50)
        assert time.monotonic() < until
        paused.signal(signal.SIGCONT)
        writers.wait_for(50)
    three.wait_applied(three.status_of(three.leader()).applied_index)
    check_kept(three, writers, tenant, key)


def end_of_records(log: Path) -> int:
    """Where the next record would begin. The file is longer, and a record may end with zeroes
    (tikv/raft-engine, format.rs and log_batch.rs: magic, version, alignment; then each record's
    eight bytes, big-endian, are 256 x its length + compression)."""
    data = log.read_bytes()
    at = len("RAFT-LOG-FILE-HEADER-9986AB3E47F320B394C8E84916EB0ED5") + 8 + 8
    while record_bytes := int.from_bytes(data[at : at + 8], "big") >> 8:
        at += record_bytes
    return at


def test_torn_last_log_record(three: Members) -> None:
    tenant, key = make_tenant(three)
    with Writers(three, tenant, key) as writers:
        writers.wait_for(50)
        victim = next(m for m in three.members if m.id != three.leader().id)
        victim.kill()
        newest = max((victim.data / "raft").glob("*.raftlog"), key=lambda path: path.name)
        with newest.open("r+b") as file:
            # A record that the crash cut off: half a header, after all that was synced.
            file.seek(end_of_records(newest))
            file.write(b"\x2a\x00\x00\x00\x00\x00\x01\x02\xff\xee")
        victim.start()
        writers.wait_for(50)
    three.wait_applied(three.status_of(three.leader()).applied_index)
    check_kept(three, writers, tenant, key)


def test_torn_record_of_a_single_member(tmp_path: Path) -> None:
    with Members(tmp_path, 1) as members:
        tenant, key = make_tenant(members)
        with Writers(members, tenant, key) as writers:
            writers.wait_for(50)
            (only,) = members.members
            only.kill()
            newest = max((only.data / "raft").glob("*.raftlog"), key=lambda path: path.name)
            with newest.open("r+b") as file:
                file.seek(end_of_records(newest))
                file.write(b"\x11" * 33)
            only.start()
            writers.wait_for(20)
        check_kept(members, writers, tenant, key)


def test_power_loss_of_the_machine(three: Members) -> None:
    """What was never synced is gone: the live state is made anew from checkpoint and log."""
    tenant, key = make_tenant(three)
    with Writers(three, tenant, key) as writers:
        writers.wait_for(50)
        for member in three.members:
            member.kill()
        for member in three.members:
            for live in (member.data / "state").glob("live-*"):
                (live / "BOOT").write_text("the boot before")
                (live / "data.mdb").write_bytes(b"torn pages")
            member.start()
        writers.wait_for(20)
    check_kept(three, writers, tenant, key)


def test_sigterm_ends_in_order(three: Members) -> None:
    three.leader()
    started = time.monotonic()
    assert [member.stop() for member in three.members] == [0, 0, 0]
    assert time.monotonic() - started < 15
    assert not any(member.ready.exists() for member in three.members)
