"""Placement of a changed cluster: what moves, and that balance and domains hold all along."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from holdfast_kvstore import HOLE, Node, NodeState, keys, placement
from holdfast_kvstore.cluster_map import Int32Array
from tests.kvstore.clusters import Shape, even_nodes, random_nodes, with_state
from tests.kvstore.least_movement import least_total_movement
from tests.kvstore.test_placement import NO_SHRINKING, check_balance, check_domains

QUICK = settings(max_examples=15, deadline=None, print_blob=True, phases=NO_SHRINKING)
SEEDS = st.integers(0, 2**32 - 1)
ROOMY = st.builds(
    Shape,
    racks=st.sampled_from([0, 8, 12]),
    hosts=st.sampled_from([0, 20]),
    weight_max=st.sampled_from([1, 3]),
)


def least_movement(before: list[Node], after: list[Node], groups: int, width: int) -> list[float]:
    """By prefix: how many groups must move to whoever's share has grown."""
    old, new = (placement.shares(nodes, groups, width) for nodes in (before, after))
    grown = np.hstack([old, np.zeros((width, len(after) - len(before)))])
    least: list[float] = np.maximum(new - grown, 0).sum(axis=1).tolist()
    return least


def is_roomy(nodes: list[Node], groups: int, width: int) -> bool:
    """Whether every rack and host leaves room: what leaves one may go to any other.

    A rack that is in nearly every group anyway cannot take its share of what another rack's node
    had: somebody else must take that and give something else up, so that more has to move.
    """
    share = placement.shares(nodes, groups, width)[-1]
    for kind in ("rack", "host"):
        labels = [getattr(node, kind) or str(node.id) for node in nodes]
        totals = dict.fromkeys(labels, 0.0)
        for label, groups_of_node in zip(labels, share.tolist(), strict=True):
            totals[label] += groups_of_node
        if max(totals.values()) > 0.8 * groups:
            return False
    return True


def check_change(
    before: list[Node], after: list[Node], owners: Int32Array, slack_groups: float
) -> Int32Array:
    """Places `after` from `owners`; movement is within 10 % of the least, for every prefix."""
    groups, width = owners.shape
    changed = placement.place(after, groups, width, owners)
    check_domains(after, changed)
    check_balance(after, changed)
    moved = placement.movement(owners, changed)
    least = least_movement(before, after, groups, width)
    assert all(m <= 1.1 * n + slack_groups for m, n in zip(moved.tolist(), least, strict=True)), (
        moved.tolist(),
        least,
    )
    return changed


def node_like(nodes: list[Node], seed: int, shape: Shape) -> Node:
    return random_nodes(seed, 1, shape, first_id=len(nodes) + 1_000)[0]


@QUICK
@given(seed=SEEDS, count=st.integers(12, 60), shape=ROOMY, width=st.integers(1, 3))
def test_a_join_moves_little_more_than_the_new_nodes_share(
    seed: int, count: int, shape: Shape, width: int
) -> None:
    nodes = random_nodes(seed, count, shape)
    owners = placement.place(nodes, count * 100, width)
    joined = [*nodes, node_like(nodes, seed + 1, shape)]
    changed = check_change(nodes, joined, owners, slack_groups=2)
    # What moves goes to the new node, all but a few of it.
    others = np.where(changed == count, owners, changed)
    assert placement.movement(owners, others)[0] <= 0.1 * (changed[:, 0] == count).sum() + 2


@pytest.mark.parametrize("racks", [1, 2, 3, 4])
@pytest.mark.parametrize("count", [4, 9, 24])
def test_a_join_moves_little_in_clusters_of_few_racks(count: int, racks: int) -> None:
    nodes = even_nodes(count + 1, racks)
    before = nodes[:-1]
    owners = placement.place(before, (count + 1) * 100, 3)
    changed = placement.place(nodes, (count + 1) * 100, 3, owners)
    check_domains(nodes, changed)
    check_balance(nodes, changed)
    moved = placement.movement(owners, changed)
    least = least_movement(before, nodes, *owners.shape)
    if min(racks, count) == min(racks, count + 1):
        # Of two racks the second owner is bound to the other one: a little more must move.
        bound = 1.25 if racks == 2 else 1.1
        assert (moved <= np.array(least) * bound + 3).all(), (moved.tolist(), least)


def check_growth(nodes: list[Node], groups: int, width: int) -> None:
    """Nodes join one at a time; by prefix little more moves than must.

    Where all weigh the same, no old node gains a first place.
    """
    owners = placement.place(nodes[:1], groups, width)
    for newest in range(1, len(nodes)):
        grown = nodes[: newest + 1]
        changed = placement.place(grown, groups, width, owners)
        check_domains(grown, changed)
        check_balance(grown, changed)
        moved = placement.movement(owners, changed)
        least = least_movement(grown[:-1], grown, groups, width)
        assert (moved <= 1.1 * np.array(least) + 1).all(), (newest + 1, moved.tolist(), least)
        new_firsts = changed[changed[:, 0] != owners[:, 0], 0]
        even = len({node.weight for node in nodes}) == 1
        assert not even or (new_firsts == newest).all(), (
            newest + 1,
            np.bincount(new_firsts).tolist(),
        )
        owners = changed


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7])
def test_each_join_of_a_growing_cluster_takes_from_every_old_node(count: int, width: int) -> None:
    """The third node once took all its first places from one old node, which took the other's."""
    for groups in (100 * (count - 1), 400):
        check_growth(even_nodes(count, racks=count), groups, width)


@pytest.mark.parametrize("weights", [[1] * 7, [3, 5, 2, 5, 4, 1, 2], [2, 4, 3, 2, 5, 4, 4]])
@pytest.mark.parametrize("groups", [777, 6_000])
def test_a_growing_cluster_of_many_groups_or_unlike_nodes_moves_little(
    weights: list[int], groups: int
) -> None:
    nodes = even_nodes(7, racks=7)
    check_growth([replace(n, weight=w) for n, w in zip(nodes, weights, strict=True)], groups, 3)


@QUICK
@given(
    seed=SEEDS,
    count=st.integers(3, 8),
    racks=st.sampled_from([0, 1, 3, 5]),
    hosts=st.sampled_from([0, 3, 4, 6]),
    weight_max=st.sampled_from([1, 3]),
    groups=st.sampled_from([400, 777, 1_200]),
    width=st.integers(1, 3),
)
@example(seed=52, count=6, racks=0, hosts=4, weight_max=1, groups=777, width=2)
@example(seed=124, count=8, racks=3, hosts=5, weight_max=3, groups=1_200, width=2)
@example(seed=128, count=5, racks=3, hosts=4, weight_max=1, groups=400, width=3)
@example(seed=171, count=9, racks=3, hosts=0, weight_max=3, groups=777, width=2)
@example(seed=271, count=9, racks=3, hosts=5, weight_max=3, groups=777, width=2)
def test_joins_where_domains_are_tight_move_little_more_than_can_be(
    seed: int, count: int, racks: int, hosts: int, weight_max: int, groups: int, width: int
) -> None:
    """A host that already is in most groups cannot give evenly: then the growth of shares is out
    of reach, and what could be reached is found by another way."""
    nodes = random_nodes(seed, count, Shape(racks, hosts, weight_max))
    width = min(width, count - 1)
    owners = placement.place(nodes[:width], groups, width)
    for newest in range(width, count):
        grown = nodes[: newest + 1]
        changed = placement.place(grown, groups, width, owners)
        check_domains(grown, changed)
        check_balance(grown, changed)
        moved = int(placement.movement(owners, changed).sum())
        if moved > 1.1 * sum(least_movement(grown[:-1], grown, groups, width)) + 1:
            least = least_total_movement(grown, owners, slack=0)
            assert moved <= 1.1 * least + 1, (newest + 1, moved, least)
        owners = changed


@QUICK
@given(seed=SEEDS, count=st.integers(12, 60), shape=ROOMY, width=st.integers(1, 3))
def test_a_leave_moves_little_more_than_what_the_node_had(
    seed: int, count: int, shape: Shape, width: int
) -> None:
    nodes = random_nodes(seed, count, shape)
    owners = placement.place(nodes, count * 100, width)
    left = with_state(nodes, seed % count, NodeState.OUT)
    assume(is_roomy(nodes, count * 100, width) and is_roomy(left, count * 100, width))
    check_change(nodes, left, owners, slack_groups=count / 4)


@QUICK
@given(seed=SEEDS, count=st.integers(12, 60), shape=ROOMY, width=st.integers(1, 3))
def test_a_changed_weight_moves_little_more_than_the_difference(
    seed: int, count: int, shape: Shape, width: int
) -> None:
    nodes = random_nodes(seed, count, shape)
    owners = placement.place(nodes, count * 100, width)
    index = seed % count
    heavier = list(nodes)
    heavier[index] = replace(nodes[index], weight=nodes[index].weight * 2)
    assume(is_roomy(nodes, count * 100, width) and is_roomy(heavier, count * 100, width))
    check_change(nodes, heavier, owners, slack_groups=count / 2)


@settings(max_examples=8, deadline=None, print_blob=True, phases=NO_SHRINKING)
@given(
    seed=SEEDS,
    racks=st.sampled_from([0, 1, 2, 3, 4, 8]),
    hosts=st.sampled_from([0, 2, 8]),
    kinds=st.lists(st.sampled_from(["join", "leave", "weight", "return"]), max_size=6),
)
def test_balance_and_domains_hold_through_any_history(
    seed: int, racks: int, hosts: int, kinds: list[str]
) -> None:
    random = np.random.default_rng(seed)
    shape = Shape(racks, hosts, weight_max=5)
    nodes = random_nodes(seed, int(random.integers(2, 20)), shape)
    owners = placement.place(nodes, 2_000, 3)
    for kind in kinds:
        index = int(random.integers(len(nodes)))
        if kind == "join":
            nodes = [*nodes, node_like(nodes, int(random.integers(2**32)), shape)]
        elif kind == "leave" and sum(node.owns for node in nodes) > 1:
            nodes = with_state(nodes, index, NodeState.OUT)
        elif kind == "return":
            nodes = with_state(nodes, index, NodeState.UP)
        else:
            nodes[index] = replace(nodes[index], weight=int(random.integers(1, 6)))
        owners = placement.place(nodes, 2_000, 3, owners)
        check_domains(nodes, owners)
        check_balance(nodes, owners)


@given(seed=SEEDS, shape=ROOMY)
@QUICK
def test_nothing_moves_when_nothing_changed(seed: int, shape: Shape) -> None:
    nodes = random_nodes(seed, 20, shape)
    owners = placement.place(nodes, 2_000, 3)
    assert (placement.place(nodes, 2_000, 3, owners) == owners).all()
    down = with_state(nodes, seed % 20, NodeState.DOWN)
    assert (placement.place(down, 2_000, 3, owners) == owners).all()


@pytest.mark.slow
def test_a_thousand_nodes_are_placed_in_seconds_and_a_join_moves_little() -> None:
    nodes = random_nodes(1, 1_001, Shape(racks=25, weight_max=4))
    started_s = time.process_time()
    owners = placement.place(nodes[:-1], 100_000, 3)
    assert time.process_time() - started_s < 30
    check_domains(nodes[:-1], owners)
    check_balance(nodes[:-1], owners)
    check_change(nodes[:-1], nodes, owners, slack_groups=10)


def test_a_first_rack_label_makes_rows_anew_where_they_must_be() -> None:
    nodes = [replace(node, rack="") for node in even_nodes(6, racks=1)]
    owners = placement.place(nodes, 600, 3)
    labelled = [replace(node, rack=f"rack-{i % 3}") for i, node in enumerate(nodes)]
    changed = placement.place(labelled, 600, 3, owners)
    check_domains(labelled, changed)
    check_balance(labelled, changed)


def test_a_wider_or_narrower_table_keeps_what_it_can() -> None:
    nodes = even_nodes(9, racks=9)
    owners = placement.place(nodes, 900, 2)
    wider = placement.place(nodes, 900, 3, owners)
    assert placement.movement(owners, wider[:, :2]).tolist() == [0, 0]
    check_balance(nodes, wider)
    assert (placement.place(nodes, 900, 2, wider) == owners).all()


@given(st.binary(min_size=16, max_size=16), st.integers(1, 4))
def test_a_split_keeps_the_owners_of_every_block(block_id: bytes, factor: int) -> None:
    owners = placement.place(even_nodes(5, racks=5), 50, 3)
    divided = placement.split(owners, factor)
    assert divided.shape == (50 * factor, 3)
    before = owners[keys.group_of(block_id, 50)]
    assert (divided[keys.group_of(block_id, 50 * factor)] == before).all()


def test_movement_counts_nodes_new_in_a_prefix() -> None:
    before = np.array([[0, 1, 2], [0, 1, 2]], dtype=np.int32)
    after = np.array([[1, 0, 2], [3, 1, HOLE]], dtype=np.int32)
    assert placement.movement(before, after).tolist() == [2, 1, 1]
