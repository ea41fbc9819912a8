"""Blocks that are cut stay whole through joins, drains and losses: each chunk finds its new owner.

The metadata side (placement, previous owners, reports) and the data nodes' rule of who takes over
from whom are driven together, on one block of each group.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_datanode.succession import predecessor
from holdfast_kvstore.cluster_map import HOLE, ClusterMap, NodeState
from holdfast_metanode.state import levels
from holdfast_proto import command_pb2 as records
from holdfast_proto import meta_pb2 as meta
from tests.metanode.rig import MachineRig

GROUPS = 24


def rig_of_shards(width: int, groups: int = GROUPS) -> MachineRig:
    rig = MachineRig(groups=groups, width=width)
    rig.apply(raise_level=records.RaiseLevel(level=levels.SHARDS))
    return rig


@dataclass
class Chunks:
    """Which shard of its block each node holds in each group."""

    rig: MachineRig
    owners: int
    held: dict[tuple[int, int], int] = field(default_factory=dict)
    """Shard by (node, group)."""

    def write(self) -> None:
        """Every group's block, anew."""
        self.held = {}
        value = self.rig.map()
        for group in range(value.group_count):
            for shard, node in enumerate(value.owners_of(group)[: self.owners]):
                self.held[node.id, group] = shard

    def rows(self, value: ClusterMap, group: int) -> tuple[list[int], list[int]]:
        """Ids of owners and previous owners, 0 for none."""
        ids = [node.id for node in value.nodes] + [HOLE]
        first = slice(None, self.owners)
        return (
            [ids[slot] for slot in value.owners[group].tolist()][first],
            [ids[slot] for slot in value.previous[group].tolist()][first],
        )

    def take_over(self, node_id: int) -> None:
        """What a node does with a map: takes chunks over, and says that it is done."""
        value = self.rig.map()
        for group in range(value.group_count):
            owners, previous = self.rows(value, group)
            if node_id in owners and set(previous) != {HOLE}:
                peer = predecessor(node_id, owners, previous)
                if (peer, group) in self.held:
                    self.held.setdefault((node_id, group), self.held[peer, group])
        node = value.node(node_id)
        self.rig.apply(
            moves_done=records.MovesDone(
                node=node_id,
                incarnation=node.incarnation,
                epoch=value.epoch,
                groups=range(value.group_count),
            )
        )

    def release(self) -> None:
        """Nodes drop what they are not named for any more."""
        value = self.rig.map()
        kept = {}
        for (node, group), shard in self.held.items():
            names = [*value.owners_of(group)[: self.owners], *value.previous_of(group)]
            if node in [each.id for each in names]:
                kept[node, group] = shard
        self.held = kept

    def settle(self) -> None:
        for node in self.rig.map().nodes:
            self.take_over(node.id)
        assert self.rig.map().moving_groups == 0
        self.release()

    def shards(self, group: int) -> list[int]:
        """Of the block of a group, those that its owners hold."""
        value = self.rig.map()
        owners = [node.id for node in value.owners_of(group)[: self.owners]]
        return sorted(self.held[n, group] for n in owners if (n, group) in self.held)

    def lose(self, node_id: int) -> None:
        self.held = {key: shard for key, shard in self.held.items() if key[0] != node_id}


def set_state(rig: MachineRig, node: int, state: NodeState) -> None:
    command = records.SetNodeState(node=node, incarnation=1, state=meta.NodeState.ValueType(state))
    rig.apply(set_node_state=command)


def join(rig: MachineRig) -> int:
    node = rig.join()
    set_state(rig, node, NodeState.UP)
    return node


@settings(max_examples=30, deadline=None, print_blob=True)
@given(
    width=st.sampled_from([3, 4, 6, 8]),
    narrower=st.integers(0, 2),
    kinds=st.lists(st.sampled_from(["join", "drain", "weight"]), min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_shard_of_every_block_survives_joins_drains_and_weights(
    width: int, narrower: int, kinds: list[str], seed: int
) -> None:
    random = np.random.default_rng(seed)
    rig = rig_of_shards(width)
    nodes = [join(rig) for _ in range(width + int(random.integers(0, 4)))]
    rig.place()
    chunks = Chunks(rig, max(2, width - narrower))
    chunks.settle()
    chunks.write()
    for kind in kinds:
        if kind == "drain" and len(nodes) > width:
            node = nodes.pop(int(random.integers(len(nodes))))
            rig.apply(drain_node=records.DrainNode(node=node))
        elif kind == "weight":
            node = nodes[int(random.integers(len(nodes)))]
            rig.apply(set_weight=records.SetWeight(node=node, weight=int(random.integers(1, 4))))
        else:
            nodes.append(join(rig))
        rig.place()
        chunks.settle()
        for group in range(GROUPS):
            assert chunks.shards(group) == list(range(chunks.owners)), (kind, group)


def test_a_second_change_before_the_moves_are_done_loses_no_shard() -> None:
    rig = rig_of_shards(width=4)
    for _ in range(6):
        join(rig)
    rig.place()
    chunks = Chunks(rig, 4)
    chunks.settle()
    chunks.write()
    join(rig), rig.place()
    join(rig), rig.place()
    chunks.settle()
    whole = [chunks.shards(group) == [0, 1, 2, 3] for group in range(GROUPS)]
    assert all(len(set(chunks.shards(group))) >= 3 for group in range(GROUPS))
    assert sum(whole) > GROUPS * 0.9


def test_a_lost_node_takes_one_shard_of_a_block_and_no_other_is_doubled() -> None:
    rig = rig_of_shards(width=6)
    nodes = [join(rig) for _ in range(8)]
    rig.place()
    chunks = Chunks(rig, 6)
    chunks.settle()
    chunks.write()
    set_state(rig, nodes[2], NodeState.DOWN)
    set_state(rig, nodes[2], NodeState.OUT)
    chunks.lose(nodes[2])
    rig.place()
    chunks.settle()
    for group in range(GROUPS):
        found = chunks.shards(group)
        assert len(found) >= 5
        assert len(found) == len(set(found))


def test_a_group_whose_owners_only_change_places_moves_no_chunk() -> None:
    rig = rig_of_shards(width=4, groups=1)
    for _ in range(4):
        join(rig)
    before = rig.place()
    owners = before.owners[:, ::-1]
    rig.apply(
        set_placement=records.SetPlacement(
            base_epoch=before.epoch, owners=owners.astype("<i2").tobytes()
        )
    )
    chunks = Chunks(rig, 4)
    found = chunks.rows(rig.map(), 0)
    assert found[1] == found[0][::-1]
    assert [predecessor(node, *found) for node in found[0]] == [HOLE] * 4


def test_rows_that_grow_into_empty_places_move_nothing() -> None:
    rig = rig_of_shards(width=3)
    for _ in range(6):
        join(rig)
    rig.place()
    rig.create_tenant("a")
    create = records.CreateSpace(tenant_number=1, name="s", block_bytes=4096, redundancy="ec:4+2")
    narrow = rig.map()
    rig.apply(create_space=create, version=levels.SHARDS)
    assert rig.map().width == 6
    assert (rig.map().owners[:, :3] == narrow.owners).all()
    assert (rig.map().owners[:, 3:] == HOLE).all()
    wide = rig.place()
    assert (wide.owners[:, :3] == narrow.owners).all()
    assert (wide.owners != HOLE).all()
    assert wide.moving_groups == narrow.moving_groups


@pytest.mark.parametrize("level", [1, 2])
def test_below_the_level_of_shards_those_that_left_stand_first(level: int) -> None:
    rig = MachineRig(groups=GROUPS, width=3)
    rig.apply(raise_level=records.RaiseLevel(level=level))
    for _ in range(5):
        join(rig)
    before = rig.place()
    join(rig)
    after = rig.place()
    for group in np.flatnonzero((after.previous != HOLE).any(axis=1)).tolist():
        previous = after.previous[group].tolist()
        left = set(before.owners[group].tolist()) - set(after.owners[group].tolist())
        assert set(previous[: len(left)]) == left
