"""A retry applies once and gets the same result; sessions are bounded and expire by stamps."""

from __future__ import annotations

import pytest

from holdfast_kvstore.errors import FailedPrecondition, InvalidArgument, NotFound
from holdfast_metanode.state import sessions
from holdfast_proto import command_pb2 as records
from tests.metanode.rig import MachineRig


def create(rig: MachineRig, client: bytes, sequence: int, name: str) -> records.TenantRecord:
    command = records.CreateTenant(name=name)
    return rig.apply(client, sequence, create_tenant=command).tenant


def count_sessions(rig: MachineRig) -> int:
    with rig.machine.view() as view:
        return view.counters().sessions


def test_retry_gets_the_same_result() -> None:
    rig = MachineRig()
    first = create(rig, b"c", 1, "a")
    assert create(rig, b"c", 1, "a") == first
    assert create(rig, b"c", 2, "b").number == 2
    assert create(rig, b"c", 1, "a") == first


def test_retry_gets_the_same_refusal() -> None:
    rig = MachineRig()
    delete = records.DeleteTenant(name="a")
    for _ in range(2):
        with pytest.raises(NotFound):
            rig.apply(b"c", 1, delete_tenant=delete)
    create(rig, b"d", 1, "a")
    with pytest.raises(NotFound):
        rig.apply(b"c", 1, delete_tenant=delete)


def test_sequences_may_arrive_out_of_order() -> None:
    rig = MachineRig()
    assert [create(rig, b"c", n, f"t{n}").number for n in (3, 1, 2)] == [1, 2, 3]


def test_forgotten_sequence_is_refused_not_applied_again() -> None:
    rig = MachineRig()
    for sequence in range(1, sessions.RESULTS_KEPT + 3):
        create(rig, b"c", sequence, f"t{sequence}")
    with pytest.raises(FailedPrecondition, match="too old"):
        create(rig, b"c", 1, "t1-again")
    assert create(rig, b"c", 3, "t3").number == 3


def test_client_id_and_sequence_are_checked() -> None:
    rig = MachineRig()
    for client, sequence in ((b"c" * 65, 1), (b"c", 0)):
        with pytest.raises(InvalidArgument):
            create(rig, client, sequence, "a")


def test_sessions_of_similar_ids_are_apart() -> None:
    rig = MachineRig()
    create(rig, b"c", 1, "a")
    create(rig, b"c\x00", 1, "b")
    create(rig, b"c\x00\x00\x00\x00\x00\x00\x00\x00", 1, "c")
    assert count_sessions(rig) == 3


def test_silent_session_expires_by_the_stamps() -> None:
    rig = MachineRig()
    create(rig, b"old", 1, "a")
    rig.now_ms += sessions.LIFE_MS + 200_000
    create(rig, b"new", 1, "b")
    assert count_sessions(rig) == 1
    # Its commands are new ones now: the name is taken.
    with pytest.raises(Exception, match="exists"):
        create(rig, b"old", 1, "a")


def test_stamps_of_a_leader_with_a_slow_clock_do_not_turn_time_back() -> None:
    rig = MachineRig()
    first = create(rig, b"c", 1, "a")
    rig.now_ms -= 1_000_000
    assert create(rig, b"c", 2, "b").created_at_ms == first.created_at_ms


def test_number_of_sessions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 5)
    rig = MachineRig()
    for number in range(20):
        rig.now_ms += 1
        create(rig, f"client {number}".encode(), 1, f"t{number}")
    assert count_sessions(rig) == 5
