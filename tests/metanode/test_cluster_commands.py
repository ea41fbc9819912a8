"""bootstrap_cluster, raise_level, set_signing_key, register_member, forget_member; versions."""

from __future__ import annotations

import pytest

from holdfast_kvstore.errors import (
    FailedPrecondition,
    InvalidArgument,
    Unavailable,
    VersionSkew,
)
from holdfast_kvstore.tickets import key_id
from holdfast_metanode.commands import OPERATIONS
from holdfast_metanode.state import tables
from holdfast_metanode.state.machine import Applied, StateMachine
from holdfast_metanode.store import MemoryStore
from holdfast_proto import command_pb2 as records
from tests.metanode.rig import MachineRig


def test_nothing_happens_before_the_cluster_is_founded() -> None:
    machine = StateMachine(MemoryStore())
    machine.start_at(1, 1, b"")
    command = records.Command(version=1, create_tenant=records.CreateTenant(name="a"))
    (data,) = machine.apply([Applied(2, 1, command.SerializeToString())])
    assert records.Result.FromString(data).failure.code == Unavailable.code


def test_second_bootstrap_changes_nothing() -> None:
    rig = MachineRig()
    before = rig.map()
    again = records.BootstrapCluster(
        cluster_id=bytes(16), signing_key=b"x" * 32, group_count=5, width=1
    )
    rig.apply(bootstrap_cluster=again)
    assert rig.map() == before


def test_command_of_a_higher_level_is_not_active() -> None:
    rig = MachineRig()
    with pytest.raises(FailedPrecondition, match="level 2"):
        rig.apply(version=2, create_tenant=records.CreateTenant(name="a"))


def test_level_rises_once_every_member_supports_it() -> None:
    rig = MachineRig()
    rig.apply(register_member=records.RegisterMember(id=1, address="127.0.0.1:1", level_max=1))
    behind = rig.refusal(raise_level=records.RaiseLevel(level=2))
    assert isinstance(behind, FailedPrecondition)
    register = records.RegisterMember(id=1, address="127.0.0.1:1", level_max=2)
    rig.apply(register_member=register)
    rig.apply(raise_level=records.RaiseLevel(level=2))
    assert rig.map().level == 2
    rig.apply(version=2, create_tenant=records.CreateTenant(name="a"))
    epoch = rig.map().epoch
    rig.apply(raise_level=records.RaiseLevel(level=1))  # it never falls
    assert (rig.map().level, rig.map().epoch) == (2, epoch)
    old = records.RegisterMember(id=2, address="127.0.0.1:2", level_max=1)
    assert isinstance(rig.refusal(register_member=old), FailedPrecondition)


def test_unknown_command_stops_the_member() -> None:
    rig = MachineRig()
    with pytest.raises(AssertionError, match="does not know"):
        rig.raw(records.Command(version=1))
    rig.index -= 1
    rig.create_tenant("still-whole")


def test_removed_member_does_not_return() -> None:
    rig = MachineRig()
    rig.apply(register_member=records.RegisterMember(id=2, address="a:1", level_max=1))
    rig.apply(forget_member=records.ForgetMember(id=2))
    with rig.machine.view() as view:
        assert [member.id for member in view.members()] == [1]
    refused = rig.refusal(register_member=records.RegisterMember(id=2, address="a:1", level_max=1))
    assert isinstance(refused, FailedPrecondition)
    nobody = rig.refusal(register_member=records.RegisterMember(id=0, address="a:1"))
    assert isinstance(nobody, InvalidArgument)


def test_signing_keys_overlap_while_they_change() -> None:
    rig = MachineRig()
    (first,) = rig.map().ticket_keys
    rig.apply(set_signing_key=records.SetSigningKey(signing_key=b"n" * 32))
    keys = rig.map().ticket_keys
    assert len(keys) == 2
    assert keys[1] == first
    assert len({key_id(key) for key in keys}) == 2
    assert isinstance(
        rig.refusal(set_signing_key=records.SetSigningKey(signing_key=b"short")), InvalidArgument
    )


def test_store_of_a_newer_build_is_refused() -> None:
    store = MemoryStore()
    with store.write() as writer:
        writer.put(tables.FORMAT, (99).to_bytes(2, "big"))
    with pytest.raises(VersionSkew):
        StateMachine(store)


def test_fault_in_an_operation_undoes_the_whole_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = MachineRig()

    def broken(change: object, operation: object) -> records.Result:
        raise ZeroDivisionError

    monkeypatch.setitem(OPERATIONS, "delete_tenant", broken)
    good = records.Command(version=1, create_tenant=records.CreateTenant(name="a"))
    bad = records.Command(version=1, delete_tenant=records.DeleteTenant(name="a"))
    entries = [
        Applied(rig.index + 1, 1, good.SerializeToString()),
        Applied(rig.index + 2, 1, bad.SerializeToString()),
    ]
    with pytest.raises(ZeroDivisionError):
        rig.machine.apply(entries)
    assert rig.machine.applied().index == rig.index
    with rig.machine.view() as view:
        assert view.tenant_number("a") is None


def test_entries_apply_without_a_gap() -> None:
    rig = MachineRig()
    with pytest.raises(AssertionError, match="without a gap"):
        rig.machine.apply([Applied(rig.index + 2, 1, b"")])
