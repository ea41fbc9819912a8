"""When the planner plans: at once for the first node, after a pause for those that follow."""

from __future__ import annotations

import numpy as np

from holdfast_metanode.planner.placement_plan import PlacementPlanner
from holdfast_proto import command_pb2 as records
from tests.metanode.rig import MachineRig


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
    rig.join()
    assert planner.is_due(rig.map(), 0)
    assert install(rig, planner)
    assert not planner.is_due(rig.map(), 1)
    rig.join()
    assert not planner.is_due(rig.map(), 100)
    rig.join()
    assert not planner.is_due(rig.map(), 349)
    assert not planner.is_due(rig.map(), 598)
    assert planner.is_due(rig.map(), 599)
    assert install(rig, planner)
    assert np.ptp(rig.map().loads()[0]) <= 1


def test_what_moves_nothing_plans_nothing() -> None:
    rig, planner = MachineRig(), PlacementPlanner(0)
    rig.join(), rig.join()
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
    rig.join(), rig.join()
    assert install(rig, planner)
    planner.forget()
    assert planner.is_due(rig.map(), 0)
    assert not install(rig, planner)
    assert not planner.is_due(rig.map(), 0)
