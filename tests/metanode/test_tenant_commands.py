"""create_tenant, delete_tenant, rotate_key, revoke_old_keys, create_space, delete_space."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast_kvstore.cluster_map import NodeState
from holdfast_kvstore.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    QuotaExceeded,
    SpaceMismatch,
)
from holdfast_kvstore.spaces import SpaceSpec
from holdfast_metanode.api_keys import hash_key, matches
from holdfast_metanode.state import levels
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta
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


# ---------------------------------------------------------------- spaces of shards


@pytest.fixture
def sharded() -> MachineRig:
    """A cluster at the level of shards with a tenant and five nodes that are up."""
    rig = MachineRig(groups=8, width=3)
    rig.apply(raise_level=records.RaiseLevel(level=levels.SHARDS))
    rig.create_tenant("a")
    for _ in range(5):
        up(rig, rig.join())
    rig.place()
    return rig


def up(rig: MachineRig, node: int, state: NodeState = NodeState.UP) -> None:
    command = records.SetNodeState(node=node, incarnation=1, state=meta.NodeState.ValueType(state))
    rig.apply(set_node_state=command)


def test_spaces_of_shards_need_their_cluster_level() -> None:
    rig = MachineRig()
    rig.create_tenant("a")
    command = records.CreateSpace(tenant_number=1, name="s", block_bytes=4096, redundancy="ec:4+2")
    for version in (1, levels.SHARDS):
        early = rig.refusal(version=version, create_space=command)
        assert isinstance(early, FailedPrecondition)
        assert "create_space needs cluster level 3, the cluster is at 1" in early.message
    with rig.machine.view() as view:
        assert view.counters().spaces == 0


def test_rows_become_as_wide_as_a_space_needs_them_and_never_narrower(
    sharded: MachineRig,
) -> None:
    before = sharded.map()
    spec = create_space(sharded, redundancy="ec:3+2")
    assert (spec.redundancy.data, spec.redundancy.parity) == (3, 2)
    assert (sharded.map().width, sharded.map().epoch) == (5, before.epoch + 1)
    assert (sharded.map().owners[:, :3] == before.owners).all()
    create_space(sharded, name="narrower", redundancy="ec:2+1")
    delete_space(sharded)
    assert sharded.map().width == 5


def test_mirrors_widen_rows_too() -> None:
    rig = MachineRig(width=2)
    rig.apply(raise_level=records.RaiseLevel(level=levels.SHARDS))
    rig.create_tenant("a")
    create_space(rig, redundancy="mirror:3")
    assert rig.map().width == 3


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ({}, r"ec:4\+2 needs 6 data nodes, 5 of this cluster can take blocks now: .*--force"),
        ({1: NodeState.DOWN}, r"4 of this cluster can take blocks now \(1 more are down"),
    ],
)
def test_too_few_nodes_for_all_shards_are_refused_unless_forced(
    sharded: MachineRig, states: dict[int, NodeState], shown: str
) -> None:
    for node, state in states.items():
        up(sharded, node, state)
    with pytest.raises(FailedPrecondition, match=shown) as caught:
        create_space(sharded, redundancy="ec:4+2")
    assert caught.value.details["nodes_needed"] == "6"
    assert sharded.map().width == 3
    create_space(sharded, redundancy="ec:4+2", force=True)
    assert sharded.map().width == 6


def test_a_drained_node_does_not_count_and_one_that_joins_does(sharded: MachineRig) -> None:
    sharded.apply(drain_node=records.DrainNode(node=1))
    with pytest.raises(FailedPrecondition, match="needs 5 data nodes, 4 of this cluster"):
        create_space(sharded, redundancy="ec:3+2")
    sharded.join()
    create_space(sharded, redundancy="ec:3+2")


def test_fewer_nodes_than_data_shards_are_refused_even_when_forced(sharded: MachineRig) -> None:
    with pytest.raises(FailedPrecondition, match="needs 6 data nodes to hold a block at all"):
        create_space(sharded, redundancy="ec:6+2", force=True)


def test_too_few_hosts_are_refused_unless_forced(sharded: MachineRig) -> None:
    for _ in range(3):
        up(sharded, sharded.join(host="one-machine"))
    create_space(sharded, redundancy="ec:4+2")
    with pytest.raises(FailedPrecondition, match="on 7 hosts, those of this cluster lie on 6"):
        create_space(sharded, name="wide", redundancy="ec:5+2")
    create_space(sharded, name="wide", redundancy="ec:5+2", force=True)
    assert sharded.map().width == 7


def test_rows_are_no_wider_than_one_command_of_the_log_can_carry() -> None:
    rig = MachineRig(groups=600_000, width=3)
    rig.apply(raise_level=records.RaiseLevel(level=levels.SHARDS))
    rig.create_tenant("a")
    for _ in range(6):
        rig.join()
    with pytest.raises(QuotaExceeded, match="needs rows of 6 places, 600000 groups can have 5"):
        create_space(rig, redundancy="ec:4+2")
    create_space(rig, redundancy="ec:3+2")
    wide = rig.refusal(split_groups=records.SplitGroups(factor=2))
    assert isinstance(wide, InvalidArgument)


def test_the_same_space_is_found_again_whatever_became_of_the_nodes(sharded: MachineRig) -> None:
    first = create_space(sharded, redundancy="ec:3+2")
    sharded.apply(drain_node=records.DrainNode(node=1))
    assert create_space(sharded, redundancy="ec:3+2") == first
