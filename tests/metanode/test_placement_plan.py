"""When the planner plans: at once for the first node, after a pause for those that follow."""

from __future__ import annotations

import numpy as np

from holdfast_kvstore.cluster_map import HOLE, NodeState
from holdfast_metanode.planner.placement_plan import PlacementPlanner
from holdfast_metanode.state import levels
from holdfast_metanode.state.shard_room import has_places
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta
from tests.metanode.rig import MachineRig


def set_state(rig: MachineRig, node: int, state: NodeState) -> None:
    command = records.SetNodeState(
        node=node,
        incarnation=rig.map().node(node).incarnation,
        state=meta.NodeState.ValueType(state),
    )
    rig.apply(set_node_state=command)


def join(rig: MachineRig, *, serves: bool = True) -> int:
    node = rig.join()
    if serves:
        set_state(rig, node, NodeState.UP)
    return node


def install(rig: MachineRig, planner: PlacementPlanner) -> bool:
    value = rig.map()
    plan = planner.plan(value)
    if plan is not None:
        rig.apply(
            set_placement=records.SetPlacement(
                base_epoch=plan.base_epoch, owners=plan.owners.astype("<i2").tobytes()
            )
        )
    planner.planned(value)
    return plan is not None


def test_first_node_at_once_others_when_joins_have_settled() -> None:
    rig, planner = MachineRig(), PlacementPlanner(250)
    join(rig)
    assert planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    assert not planner.is_due(rig.map(), 1)
    join(rig)
    assert not planner.is_due(rig.map(), 100)
    join(rig)
    assert not planner.is_due(rig.map(), 349)
    assert not planner.is_due(rig.map(), 598)
    assert planner.is_due(rig.map(), 599)
    assert install(rig, planner)
    assert np.ptp(rig.map().loads()[0]) <= 1


def test_what_moves_nothing_plans_nothing() -> None:
    rig, planner = MachineRig(), PlacementPlanner(0)
    join(rig), join(rig)
    assert install(rig, planner)
    rig.join(incarnation=5, node_id=1, host="host-2")
    rig.apply(split_groups=records.SplitGroups(factor=1))
    value = rig.map()
    before = value.owners.copy()
    if planner.is_due(value, 1):
        install(rig, planner)
    assert np.array_equal(rig.map().owners[:, 0], before[:, 0])


def test_new_leader_looks_once_and_finds_nothing_to_do() -> None:
    rig, planner = MachineRig(), PlacementPlanner(0)
    join(rig), join(rig)
    assert install(rig, planner)
    planner.forget()
    assert planner.is_due(rig.map(), 0)
    assert not install(rig, planner)
    assert not planner.is_due(rig.map(), 0)


def test_a_node_that_has_not_served_yet_gets_no_groups() -> None:
    rig, planner = MachineRig(), PlacementPlanner(0)
    first = join(rig, serves=False)
    assert planner.is_due(rig.map(), 0)
    assert not install(rig, planner)
    set_state(rig, first, NodeState.UP)
    assert planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    ghost = join(rig, serves=False)
    assert not planner.is_due(rig.map(), 0)
    third = join(rig)
    assert planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    assert rig.map().groups_of(ghost).size == 0
    assert rig.map().groups_of(third).size == rig.map().group_count
    set_state(rig, ghost, NodeState.UP)
    assert planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    assert np.ptp(rig.map().loads()[0]) <= 1


def test_going_down_and_up_moves_nothing() -> None:
    rig, planner = MachineRig(), PlacementPlanner(0)
    nodes = [join(rig) for _ in range(3)]
    assert install(rig, planner)
    for state in (NodeState.DOWN, NodeState.UP):
        set_state(rig, nodes[0], state)
        assert not planner.is_due(rig.map(), 0)
    set_state(rig, nodes[0], NodeState.DOWN)
    planner.forget()
    assert planner.is_due(rig.map(), 0)
    assert not install(rig, planner)


def test_nothing_moves_to_a_node_that_is_down_until_it_is_back() -> None:
    rig, planner = MachineRig(groups=60, width=3), PlacementPlanner(0)
    nodes = [join(rig) for _ in range(5)]
    assert install(rig, planner)
    silent, drained = nodes[0], nodes[1]
    set_state(rig, silent, NodeState.DOWN)
    before = rig.map()
    rig.apply(drain_node=records.DrainNode(node=drained))
    assert planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    after = rig.map()
    assert after.groups_of(drained).size == 0
    for copies in (1, 2, 3):
        had = set(before.groups_of(silent, copies).tolist())
        assert set(after.groups_of(silent, copies).tolist()) <= had
    assert all(len(set(after.owners_of(group))) == 3 for group in range(60))
    with rig.machine.view() as view:
        assert not any(silent in move.pending for _, move in view.moves())
    assert not planner.is_due(rig.map(), 0)
    set_state(rig, silent, NodeState.UP)
    assert planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    assert np.ptp([rig.map().groups_of(node, 1).size for node in nodes if node != drained]) <= 1


def test_rows_that_became_wider_are_filled_at_once_and_nothing_moves() -> None:
    rig, planner = MachineRig(width=3), PlacementPlanner(10_000)
    rig.apply(raise_level=records.RaiseLevel(level=levels.SHARDS))
    rig.create_tenant("a")
    for _ in range(5):
        join(rig)
    planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    narrow = rig.map()
    assert has_places(narrow, 3)
    create = records.CreateSpace(
        tenant_number=1, name="s", block_bytes=4096, redundancy="ec:4+2", force=True
    )
    rig.apply(create_space=create)
    assert not has_places(rig.map(), 6)
    assert planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    wide = rig.map()
    assert has_places(wide, 6)
    assert np.array_equal(wide.owners[:, :3], narrow.owners)
    assert ((wide.owners == HOLE).sum(axis=1) == 1).all()
    assert wide.moving_groups == 0
    join(rig)
    assert not planner.is_due(rig.map(), 0), "nobody waits for a sixth node's places"


def test_wide_rows_are_not_given_to_a_node_that_is_down() -> None:
    rig, planner = MachineRig(width=3), PlacementPlanner(0)
    rig.apply(raise_level=records.RaiseLevel(level=levels.SHARDS))
    rig.create_tenant("a")
    nodes = [join(rig) for _ in range(7)]
    assert install(rig, planner)
    set_state(rig, nodes[0], NodeState.DOWN)
    before = rig.map().groups_of(nodes[0])
    create = records.CreateSpace(tenant_number=1, name="s", block_bytes=4096, redundancy="ec:4+2")
    rig.apply(create_space=create)
    assert install(rig, planner)
    assert set(rig.map().groups_of(nodes[0]).tolist()) <= set(before.tolist())
    assert all(len(set(rig.map().owners_of(group))) == 6 for group in range(16))
    set_state(rig, nodes[0], NodeState.UP)
    assert planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    assert rig.map().groups_of(nodes[0]).size > before.size
