"""From one map to the next: epochs, previous owners, and that a pause moves nothing."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_kvstore import HOLE, ClusterMap, InvalidArgument, Node, NodeState
from holdfast_kvstore.transitions import first_map, with_moved, with_nodes, with_split
from tests.kvstore.clusters import Shape, even_nodes, random_nodes, with_state

CLUSTER = bytes(range(16))


def new_map(count: int = 6, groups: int = 600) -> ClusterMap:
    return first_map(CLUSTER, even_nodes(count, racks=count), groups, 3)


def ids(nodes: list[Node]) -> list[int]:
    return [node.id for node in nodes]


def changed_groups(before: ClusterMap, after: ClusterMap) -> list[int]:
    return [
        group
        for group in range(before.group_count)
        if ids(before.owners_of(group)) != ids(after.owners_of(group))
    ]


def test_a_cluster_may_begin_empty() -> None:
    empty = first_map(CLUSTER, [], 8, 3)
    assert empty.epoch == 1
    assert empty.owners_of(0) == []
    started = with_nodes(empty, even_nodes(2, racks=1))
    assert started.epoch == 2
    assert len(started.owners_of(0)) == 2
    assert started.moving_groups == 0


@pytest.mark.parametrize(
    "change",
    [
        {"state": NodeState.DOWN},
        {"tcp_address": "10.9.9.9:1"},
        {"unix_path": "/run/other", "boot_id": "other"},
    ],
)
def test_a_pause_or_a_new_address_moves_nothing(change: dict[str, object]) -> None:
    before = new_map()
    nodes = [replace(before.nodes[0], **change), *before.nodes[1:]]  # type: ignore[arg-type]
    after = with_nodes(before, nodes)
    assert after.epoch == before.epoch + 1
    assert (after.owners == before.owners).all()
    assert after.moving_groups == 0
    assert after.nodes[0] == nodes[0]


def test_a_join_names_whoever_had_the_blocks() -> None:
    before = new_map()
    joined = Node(50, 1, "new:1", host="new", rack="new", weight=10)
    after = with_nodes(before, [*before.nodes, joined])
    moved = changed_groups(before, after)
    assert after.moving_groups == len(moved) > 0
    for group in moved:
        old, new = ids(before.owners_of(group)), ids(after.owners_of(group))
        asked = ids(after.previous_of(group))
        # With any number of copies, each old holder is still asked.
        for copies in (1, 2, 3):
            assert set(old[:copies]) <= set(new[:copies]) | set(asked)


def test_a_draining_node_is_asked_until_its_blocks_have_moved() -> None:
    before = new_map()
    draining = with_nodes(before, with_state(list(before.nodes), 2, NodeState.DRAINING))
    node = before.nodes[2].id
    assert draining.groups_of(node).size == 0
    assert draining.groups_left_on(node).tolist() == before.groups_of(node).tolist()
    assert not draining.holds_nothing(node)
    half = before.groups_of(node)[:100].tolist()
    moving = with_moved(draining, half)
    assert moving.epoch == draining.epoch + 1
    assert moving.moving_groups == draining.moving_groups - 100
    done = with_moved(moving, before.groups_of(node).tolist())
    assert done.holds_nothing(node)
    gone = with_nodes(done, [n for n in done.nodes if n.id != node])
    assert (gone.loads() > 0).all()
    assert gone.moving_groups == 0


def test_a_lost_node_is_not_asked_and_the_other_copies_are() -> None:
    before = new_map()
    after = with_nodes(before, with_state(list(before.nodes), 2, NodeState.OUT))
    lost = before.nodes[2].id
    for group in changed_groups(before, after):
        asked = ids(after.previous_of(group))
        assert lost not in asked
        assert set(asked) == set(ids(before.owners_of(group))) - {lost}


def test_a_node_that_lost_its_memory_is_not_asked_as_previous_owner() -> None:
    before = new_map()
    draining = with_nodes(before, with_state(list(before.nodes), 2, NodeState.DRAINING))
    emptied = [
        replace(node, incarnation=2) if slot == 2 else node
        for slot, node in enumerate(draining.nodes)
    ]
    assert with_nodes(draining, emptied).holds_nothing(before.nodes[2].id)


def test_blocks_of_two_changes_in_a_row_are_both_found() -> None:
    before = new_map()
    first = with_nodes(before, [*before.nodes, Node(50, 1, "a:1", host="a", rack="a", weight=10)])
    second = with_nodes(first, [*first.nodes, Node(51, 1, "b:1", host="b", rack="b", weight=10)])
    for group in range(before.group_count):
        asked = ids(second.owners_of(group)[:1]) + ids(second.previous_of(group))
        assert ids(before.owners_of(group))[0] in asked
        assert ids(first.owners_of(group))[0] in asked


@settings(max_examples=15, deadline=None, print_blob=True)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 6))
def test_any_history_leaves_maps_that_hold_together(seed: int, steps: int) -> None:
    random = np.random.default_rng(seed)
    shape = Shape(racks=4, weight_max=3)
    now = first_map(CLUSTER, random_nodes(seed, 5, shape), 300, 3)
    for step in range(steps):
        nodes = list(now.nodes)
        if random.random() < 0.4:
            nodes += random_nodes(seed + step, 1, shape, first_id=100 + step)
        else:
            index = int(random.integers(len(nodes)))
            states = list(NodeState)
            nodes = with_state(nodes, index, states[int(random.integers(len(states)))])
        after = with_nodes(now, nodes)
        assert after.epoch == now.epoch + 1
        for group in range(0, 300, 7):
            previous = ids(after.previous_of(group))
            assert len(previous) == len(set(previous))
            assert all(after.node(node).may_hold for node in previous)
            assert all(node.owns for node in after.owners_of(group))
        holes = after.previous == HOLE
        assert (holes[:, :-1] <= holes[:, 1:]).all()
        now = after


def test_a_split_keeps_owners_and_previous_owners() -> None:
    before = new_map()
    moving = with_nodes(before, [*before.nodes, Node(50, 1, "a:1", rack="a", weight=10)])
    after = with_split(moving, 2)
    assert (after.group_count, after.epoch) == (1_200, moving.epoch + 1)
    for group in range(moving.group_count):
        for half in (2 * group, 2 * group + 1):
            assert after.owners_of(half) == moving.owners_of(group)
            assert after.previous_of(half) == moving.previous_of(group)
    with pytest.raises(InvalidArgument, match="1048576"):
        with_split(before, 2_000)


def test_a_group_that_is_none_cannot_have_moved() -> None:
    with pytest.raises(InvalidArgument, match="group is 600"):
        with_moved(new_map(), [600])
