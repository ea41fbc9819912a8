"""create_tenant, delete_tenant, rotate_key, revoke_old_keys, create_space, delete_space."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast_kvstore.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    SpaceMismatch,
)
from holdfast_kvstore.spaces import SpaceSpec
from holdfast_metanode.api_keys import hash_key, matches
from holdfast_proto import command_pb2 as records
from tests.metanode.rig import MachineRig


@pytest.fixture
def rig() -> MachineRig:
    return MachineRig()


def create_space(rig: MachineRig, name: str = "s", **fields: Any) -> SpaceSpec:
    values: dict[str, Any] = {"tenant_number": 1, "block_bytes": 4096} | fields
    command = records.CreateSpace(name=name, **values)
    return SpaceSpec.decode(rig.apply(create_space=command).space.spec)


def delete_space(rig: MachineRig, name: str = "s") -> None:
    rig.apply(delete_space=records.DeleteSpace(tenant_number=1, name=name))


def test_tenant_numbers_are_never_given_again(rig: MachineRig) -> None:
    assert rig.create_tenant("a").number == 1
    rig.apply(delete_tenant=records.DeleteTenant(name="a"))
    assert rig.create_tenant("a").number == 2
    with rig.machine.view() as view:
        assert view.counters().tenants == 1


def test_tenant_name_is_taken_or_invalid(rig: MachineRig) -> None:
    rig.create_tenant("a")
    taken = rig.refusal(create_tenant=records.CreateTenant(name="a"))
    assert isinstance(taken, AlreadyExists)
    wrong = rig.refusal(create_tenant=records.CreateTenant(name="no spaces"))
    assert isinstance(wrong, InvalidArgument)
    missing = rig.refusal(delete_tenant=records.DeleteTenant(name="b"))
    assert isinstance(missing, NotFound)


def test_tenant_with_spaces_is_not_deleted(rig: MachineRig) -> None:
    rig.create_tenant("a")
    create_space(rig)
    refused = rig.refusal(delete_tenant=records.DeleteTenant(name="a"))
    assert isinstance(refused, FailedPrecondition)
    delete_space(rig)
    rig.apply(delete_tenant=records.DeleteTenant(name="a"))


def test_two_keys_while_rotating(rig: MachineRig) -> None:
    rig.create_tenant("a")
    for number in (2, 3):
        key = hash_key(f"key {number}", bytes(16))
        rig.apply(rotate_key=records.RotateKey(name="a", key=key))
    with rig.machine.view() as view:
        keys = list(view.tenant("a").keys)
    assert [matches(f"key {n}", key) for n, key in ((3, keys[0]), (2, keys[1]))] == [True, True]
    assert len(keys) == 2
    assert not matches("key of a", keys[1])
    tenant = rig.apply(revoke_old_keys=records.RevokeOldKeys(name="a")).tenant
    assert len(tenant.keys) == 1
    assert matches("key 3", tenant.keys[0])


def test_space_is_found_again_and_its_number_never_given_again(rig: MachineRig) -> None:
    rig.create_tenant("a")
    first = create_space(rig, fingerprint="llama")
    assert create_space(rig, fingerprint="llama") == first
    delete_space(rig)
    assert create_space(rig, fingerprint="llama").number == first.number + 1


@pytest.mark.parametrize(
    ("field", "asked"),
    [("block_bytes", 8192), ("fingerprint", "other"), ("redundancy", "mirror:2")],
)
def test_space_of_other_properties_is_a_mismatch_that_shows_both(
    rig: MachineRig, field: str, asked: Any
) -> None:
    rig.create_tenant("a")
    create_space(rig, fingerprint="llama", redundancy="single")
    with pytest.raises(SpaceMismatch) as caught:
        create_space(rig, **({"fingerprint": "llama"} | {field: asked}))
    assert str(asked) in caught.value.asked
    assert caught.value.stored


def test_spaces_of_a_deleted_tenant_cannot_be_made(rig: MachineRig) -> None:
    rig.create_tenant("a")
    rig.apply(delete_tenant=records.DeleteTenant(name="a"))
    with pytest.raises(NotFound):
        create_space(rig)


def test_space_fields_are_checked(rig: MachineRig) -> None:
    rig.create_tenant("a")
    wrong: list[dict[str, Any]] = [
        {"block_bytes": 0}, {"block_bytes": 1 << 30}, {"priority": 256}, {"redundancy": "raid"},
    ]  # fmt: skip
    for fields in wrong:
        with pytest.raises(InvalidArgument):
            create_space(rig, **fields)
    with rig.machine.view() as view:
        assert view.counters().spaces == 0
