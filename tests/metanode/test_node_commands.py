"""join_node, set_node_state, drain_node, remove_node, set_weight, set_placement, moves_done,
split_groups: what they do to the cluster map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, NodeState
from holdfast_kvstore.errors import (
    FailedPrecondition,
    HoldfastError,
    InvalidArgument,
    NotFound,
    StaleEpoch,
)
from holdfast_metanode.services.node_checks import check_drain
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta
from tests.metanode.rig import MachineRig


def set_state(rig: MachineRig, node: int, state: NodeState, incarnation: int = 1) -> None:
    command = records.SetNodeState(
        node=node, incarnation=incarnation, state=meta.NodeState.ValueType(state)
    )
    rig.apply(set_node_state=command)


def finish_moves(rig: MachineRig, nodes: dict[int, int]) -> None:
    """Every node (id: incarnation) says that it is done with everything."""
    for node, incarnation in nodes.items():
        value = rig.map()
        rig.apply(
            moves_done=records.MovesDone(
                node=node,
                incarnation=incarnation,
                epoch=value.epoch,
                groups=range(value.group_count),
            )
        )


def check_moves(rig: MachineRig) -> None:
    """Groups move exactly where the state says who still has to take over."""
    value = rig.map()
    with rig.machine.view() as view:
        moves = dict(view.moves())
    moving = np.flatnonzero((value.previous != HOLE).any(axis=1)).tolist()
    assert sorted(moves) == moving
    ids = {node.id for node in value.nodes}
    for group, move in moves.items():
        owners = {node.id for node in value.owners_of(group)}
        assert move.pending
        assert set(move.pending) <= owners & ids
        assert move.since_epoch <= value.epoch
        assert all(node.may_hold for node in value.previous_of(group))


def test_ids_are_given_in_order_and_never_again() -> None:
    rig = MachineRig()
    assert [rig.join(), rig.join()] == [1, 2]
    rig.apply(remove_node=records.RemoveNode(node=2, force=True))
    assert rig.join() == 3
    gone = rig.refusal(
        join_node=records.JoinNode(id=2, incarnation=1, tcp_address="127.0.0.1:1", weight=1)
    )
    assert isinstance(gone, NotFound)


def test_join_needs_an_address() -> None:
    assert isinstance(
        MachineRig().refusal(join_node=records.JoinNode(incarnation=1, weight=1)), InvalidArgument
    )


def test_same_join_twice_changes_nothing() -> None:
    rig = MachineRig()
    rig.join(tcp_address="127.0.0.1:1", host="h")
    before = rig.map()
    rig.join(node_id=1, tcp_address="127.0.0.1:1", host="h")
    assert rig.map() == before


def test_restarted_process_with_its_memory_stays_up() -> None:
    rig = MachineRig()
    rig.join()
    assert rig.map().node(1).state is NodeState.DOWN  # it does not serve yet
    set_state(rig, 1, NodeState.UP)
    rig.join(node_id=1, tcp_address="127.0.0.1:5")
    assert rig.map().node(1).state is NodeState.UP


def test_node_that_comes_back_keeps_id_groups_and_weight() -> None:
    rig = MachineRig()
    rig.join(), rig.join()
    placed = rig.place()
    rig.apply(set_weight=records.SetWeight(node=1, weight=7))
    set_state(rig, 1, NodeState.DOWN)
    rig.join(incarnation=2, node_id=1, tcp_address="127.0.0.1:77")
    after = rig.map()
    assert np.array_equal(after.owners, placed.owners)
    node = after.node(1)
    assert (node.state, node.incarnation, node.weight) == (NodeState.DOWN, 2, 7)
    assert node.tcp_address == "127.0.0.1:77"


def test_join_moves_groups_and_names_previous_owners_until_done() -> None:
    rig = MachineRig(groups=32, width=2)
    rig.join()
    first = rig.place()
    assert first.moving_groups == 0  # there was nothing to take over
    rig.join()
    after = rig.place()
    taken = after.groups_of(2)
    assert taken.size > 0
    assert all(1 in [node.id for node in after.previous_of(int(group))] for group in taken)
    check_moves(rig)
    rig.apply(
        moves_done=records.MovesDone(node=2, incarnation=1, epoch=after.epoch, groups=[taken[0]])
    )
    assert not rig.map().previous_of(int(taken[0]))
    assert rig.map().moving_groups == after.moving_groups - 1
    finish_moves(rig, {1: 1, 2: 1})
    assert rig.map().moving_groups == 0
    check_moves(rig)


def test_report_about_an_older_move_is_left_out() -> None:
    rig = MachineRig(groups=32)
    rig.join(), rig.place()
    rig.join()
    second = rig.place()
    before = rig.map()
    rig.apply(
        moves_done=records.MovesDone(
            node=2, incarnation=1, epoch=second.epoch - 1, groups=range(32)
        )
    )
    assert rig.map() == before
    stale = rig.refusal(moves_done=records.MovesDone(node=2, incarnation=9, epoch=99, groups=[1]))
    assert isinstance(stale, StaleEpoch)


def test_drain_ends_with_a_node_that_holds_nothing() -> None:
    rig = MachineRig(groups=32)
    for _ in range(3):
        rig.join()
        rig.place()
        finish_moves(rig, {node.id: 1 for node in rig.map().nodes})
    rig.apply(drain_node=records.DrainNode(node=2))
    early = rig.refusal(remove_node=records.RemoveNode(node=2))
    assert isinstance(early, FailedPrecondition)
    rig.place()
    value = rig.map()
    assert value.groups_of(2).size == 0
    assert value.groups_left_on(2).size > 0
    check_moves(rig)
    finish_moves(rig, {1: 1, 3: 1})
    assert rig.map().groups_left_on(2).size == 0
    assert rig.map().groups_of(2).size == 0
    rig.apply(remove_node=records.RemoveNode(node=2))
    assert [node.id for node in rig.map().nodes] == [1, 3]
    assert all(len(rig.map().owners_of(group)) == 2 for group in range(32))


def test_an_undrained_node_gets_groups_again() -> None:
    rig = MachineRig(groups=32)
    for _ in range(3):
        set_state(rig, rig.join(), NodeState.UP)
    rig.place()
    finish_moves(rig, {node.id: 1 for node in rig.map().nodes})
    undrain = records.UndrainNode(node=2)
    early = rig.refusal(version=2, undrain_node=undrain)
    assert isinstance(early, FailedPrecondition)
    assert "needs cluster level 2, the cluster is at 1" in early.message
    # A member that logged it without its level would be the only one that knows it.
    assert isinstance(rig.refusal(undrain_node=undrain), FailedPrecondition)
    rig.apply(raise_level=records.RaiseLevel(level=2))
    rig.apply(drain_node=records.DrainNode(node=2))
    rig.place()
    assert rig.map().groups_of(2).size == 0
    rig.apply(version=2, undrain_node=undrain)
    assert rig.map().node(2).state is NodeState.UP
    rig.place()
    check_moves(rig)
    assert np.ptp(rig.map().loads()[0]) <= 1
    finish_moves(rig, {node.id: 1 for node in rig.map().nodes})
    assert rig.map().moving_groups == 0
    epoch = rig.map().epoch
    rig.apply(version=2, undrain_node=undrain)
    assert rig.map().epoch == epoch
    set_state(rig, 2, NodeState.DOWN)
    set_state(rig, 2, NodeState.OUT)
    assert isinstance(rig.refusal(version=2, undrain_node=undrain), FailedPrecondition)


def test_a_refused_removal_counts_as_status_does_and_names_the_option() -> None:
    rig = MachineRig(groups=32)
    for _ in range(2):
        rig.join()
    rig.place()
    finish_moves(rig, {1: 1, 2: 1})
    refused = rig.refusal(remove_node=records.RemoveNode(node=1))
    assert "still has 16 groups, copies of 16 others and 0 to hand over" in refused.message
    assert "--force" in refused.message


def test_a_refused_removal_advises_by_the_nodes_state() -> None:
    rig = MachineRig(groups=32)
    for _ in range(2):
        set_state(rig, rig.join(), NodeState.UP)
    rig.place()
    remove = records.RemoveNode(node=1)
    assert "drain it and wait until" in rig.refusal(remove_node=remove).message
    set_state(rig, 1, NodeState.DOWN)
    down = rig.refusal(remove_node=remove).message
    assert down.startswith("node 1 is down")
    assert "are gone already, remove it with --force" in down
    assert "wait until it holds nothing" not in down


def test_a_node_is_drained_only_when_another_one_serves() -> None:
    rig = MachineRig(groups=32)
    for _ in range(3):
        set_state(rig, rig.join(), NodeState.UP)
    check_drain(rig.map(), 1)
    rig.apply(set_weight=records.SetWeight(node=2, weight=0))
    check_drain(rig.map(), 1)
    set_state(rig, 3, NodeState.DOWN)
    with pytest.raises(FailedPrecondition, match=r"node 2 is up with weight 0, node 3 is down"):
        check_drain(rig.map(), 1)
    rig.apply(drain_node=records.DrainNode(node=1))
    check_drain(rig.map(), 1)
    with pytest.raises(NotFound):
        check_drain(rig.map(), 9)


def test_last_owner_is_not_drained() -> None:
    rig = MachineRig()
    rig.join()
    assert isinstance(rig.refusal(drain_node=records.DrainNode(node=1)), FailedPrecondition)


def test_down_moves_nothing_and_out_loses_previous_owners() -> None:
    rig = MachineRig(groups=32)
    rig.join(), rig.place(), rig.join()
    placed = rig.place()
    set_state(rig, 1, NodeState.DOWN)
    down = rig.map()
    assert np.array_equal(down.owners, placed.owners)
    assert np.array_equal(down.previous, placed.previous)
    set_state(rig, 1, NodeState.OUT)
    assert rig.map().groups_left_on(1).size == 0
    rig.place()
    assert rig.map().groups_of(1).size == 0
    check_moves(rig)
    set_state(rig, 1, NodeState.UP)  # does not follow from out: it has to join again
    assert rig.map().node(1).state is NodeState.OUT
    rig.join(node_id=1)
    assert rig.map().node(1).state is NodeState.DOWN
    set_state(rig, 1, NodeState.UP)
    assert rig.map().node(1).state is NodeState.UP


def test_judgement_of_an_older_incarnation_is_refused() -> None:
    rig = MachineRig()
    rig.join()
    rig.join(incarnation=2, node_id=1)
    with pytest.raises(StaleEpoch):
        set_state(rig, 1, NodeState.DOWN, incarnation=1)


def test_placement_of_an_older_map_is_refused() -> None:
    rig = MachineRig()
    rig.join()
    stale = rig.map()
    rig.join()
    command = records.SetPlacement(
        base_epoch=stale.epoch, owners=stale.owners.astype("<i2").tobytes()
    )
    assert isinstance(rig.refusal(set_placement=command), StaleEpoch)
    for wrong in (b"", np.full(stale.owners.size, 9, "<i2").tobytes()):
        command = records.SetPlacement(base_epoch=rig.map().epoch, owners=wrong)
        assert isinstance(rig.refusal(set_placement=command), InvalidArgument)


def test_split_keeps_owners_and_moves() -> None:
    rig = MachineRig(groups=8)
    rig.join(), rig.place(), rig.join()
    before = rig.place()
    rig.apply(split_groups=records.SplitGroups(factor=3))
    after = rig.map()
    assert after.group_count == 24
    for group in range(24):
        assert after.owners_of(group) == before.owners_of(group // 3)
        assert after.previous_of(group) == before.previous_of(group // 3)
    check_moves(rig)
    assert isinstance(rig.refusal(split_groups=records.SplitGroups(factor=0)), InvalidArgument)


def test_epoch_moves_with_the_map_alone() -> None:
    rig = MachineRig()
    rig.join()
    before = rig.map().epoch
    rig.create_tenant()
    rig.apply(set_weight=records.SetWeight(node=1, weight=1))
    assert rig.map().epoch == before
    rig.apply(set_weight=records.SetWeight(node=1, weight=2))
    assert rig.map().epoch == before + 1


ACTIONS = ("join", "place", "drain", "down", "out", "up", "empty", "remove", "done", "split")


@example([*[("join", 0)] * 3, *[("place", 0), ("remove", 0)] * 2])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7)), max_size=40))
def test_any_history_keeps_the_map_whole(history: list[tuple[str, int]]) -> None:
    rig = MachineRig(groups=12, width=2)
    rig.apply(raise_level=records.RaiseLevel(level=2))
    for action, choice in history:
        before = rig.map()
        try:
            act(rig, action, choice, before)
        except HoldfastError:
            assert rig.map() == before, "a refused command changed the map"
        assert rig.map().epoch >= before.epoch
        check_moves(rig)
    rig.join()
    rig.place()
    finish_moves(rig, {node.id: node.incarnation for node in rig.map().nodes})
    assert rig.map().moving_groups == 0
    assert all(rig.map().owners_of(group) for group in range(rig.map().group_count))


def act(rig: MachineRig, action: str, choice: int, value: ClusterMap) -> None:
    if action == "join" or not value.nodes:
        rig.join()
        return
    node = value.nodes[choice % len(value.nodes)]
    match action:
        case "place":
            rig.place()
        case "drain":
            rig.apply(drain_node=records.DrainNode(node=node.id))
        case "down" | "out" | "up":
            set_state(rig, node.id, NodeState[action.upper()], node.incarnation)
        case "empty":
            rig.join(incarnation=node.incarnation + 1, node_id=node.id)
        case "remove":
            rig.apply(remove_node=records.RemoveNode(node=node.id, force=choice % 2 == 0))
        case "done":
            finish_moves(rig, {node.id: node.incarnation})
        case "split" if value.group_count < 100:
            rig.apply(split_groups=records.SplitGroups(factor=2))
