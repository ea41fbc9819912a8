"""Placement of a new table: balance, failure domains, determinism, speed."""

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from holdfast_kvstore import HOLE, InvalidArgument, Node, NodeState, placement
from holdfast_kvstore.cluster_map import Int32Array
from tests.kvstore.clusters import Shape, even_nodes, random_nodes, with_state

NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""A smaller cluster fails for other reasons; the arguments shown name the cluster by its seed."""
SHAPES = st.builds(
    Shape,
    racks=st.sampled_from([0, 1, 2, 3, 4, 5, 8, 12]),
    hosts=st.sampled_from([0, 1, 2, 3, 4, 8, 20]),
    weight_max=st.sampled_from([1, 3, 10, 50]),
)


def check_domains(nodes: list[Node], owners: Int32Array) -> None:
    """Owners are distinct; in distinct racks, and on distinct hosts, while there are as many."""
    able = [node for node in nodes if node.owns]
    racks = np.array([hash(node.rack) for node in nodes])
    hosts = np.array([hash((node.rack, node.host or node.id)) for node in nodes])
    for kind in (racks, hosts, np.arange(len(nodes))):
        number = len({kind[slot] for slot, node in enumerate(nodes) if node.owns})
        places = min(owners.shape[1], number)
        for first in range(places):
            for second in range(first):
                assert not (kind[owners[:, first]] == kind[owners[:, second]]).any()
    assert (owners[:, : len(able)] != HOLE).all()
    assert (owners[:, len(able) :] == HOLE).all()
    assert all(nodes[slot].owns for slot in np.unique(owners[owners != HOLE]).tolist())


def check_balance(nodes: list[Node], owners: Int32Array) -> None:
    """Every node's load is within max(5 %, one group) of its share, for every prefix."""
    share = placement.shares(nodes, *owners.shape)
    off = np.abs(placement.loads(owners, len(nodes)) - share)
    assert (off <= np.maximum(0.05 * share, 1) + 1e-6).all()


@settings(max_examples=30, deadline=None, print_blob=True, phases=NO_SHRINKING)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    shape=SHAPES,
    width=st.integers(1, 3),
    groups_per_node=st.integers(100, 150),
)
def test_loads_follow_the_weights_and_owners_lie_apart(
    seed: int, count: int, shape: Shape, width: int, groups_per_node: int
) -> None:
    nodes = random_nodes(seed, count, shape)
    owners = placement.place(nodes, count * groups_per_node, width)
    check_domains(nodes, owners)
    check_balance(nodes, owners)


@settings(max_examples=3, deadline=None, print_blob=True, phases=NO_SHRINKING)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(100, 400), shape=SHAPES)
@example(seed=1, count=400, shape=Shape(racks=20, weight_max=3))
def test_larger_clusters_are_balanced_too(seed: int, count: int, shape: Shape) -> None:
    nodes = random_nodes(seed, count, shape)
    owners = placement.place(nodes, count * 25, 3)
    check_domains(nodes, owners)
    check_balance(nodes, owners)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_shares_are_proportional_where_no_domain_is_too_heavy(width: int) -> None:
    nodes = random_nodes(3, 40, Shape(weight_max=4))
    weights = np.array([node.weight for node in nodes])
    expected = weights / weights.sum() * 4_000
    share = placement.shares(nodes, 4_000, width)
    for prefix in range(width):
        assert np.allclose(share[prefix], expected * (prefix + 1), rtol=1e-9)


def test_a_rack_that_is_too_heavy_is_in_every_group_and_no_more() -> None:
    nodes = [
        Node(1, 1, "a:1", rack="heavy", weight=80),
        Node(2, 1, "b:1", rack="light-1", weight=10),
        Node(3, 1, "c:1", rack="light-2", weight=10),
    ]
    share = placement.shares(nodes, 1_000, 2)
    assert np.allclose(share, [[800, 100, 100], [1_000, 500, 500]])
    check_balance(nodes, placement.place(nodes, 1_000, 2))


def test_one_machine_with_several_nodes_falls_back_to_nodes() -> None:
    nodes = [Node(i + 1, 1, "a:1", host="laptop", rack="desk") for i in range(4)]
    owners = placement.place(nodes, 400, 3)
    check_domains(nodes, owners)
    check_balance(nodes, owners)


def test_two_racks_hold_three_copies_on_three_hosts() -> None:
    nodes = even_nodes(8, racks=2)
    owners = placement.place(nodes, 800, 3)
    check_domains(nodes, owners)
    check_balance(nodes, owners)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_places_without_a_node_are_holes(count: int) -> None:
    owners = placement.place(even_nodes(count, racks=1), 10, 3)
    assert ((owners == HOLE).sum(axis=1) == 3 - count).all()


def test_only_nodes_that_are_up_or_down_own_groups() -> None:
    nodes = even_nodes(6, racks=6)
    for index, state in ((0, NodeState.OUT), (1, NodeState.DRAINING), (2, NodeState.DOWN)):
        nodes = with_state(nodes, index, state)
    owners = placement.place(nodes, 600, 3)
    assert set(np.unique(owners).tolist()) == {2, 3, 4, 5}
    check_balance(nodes, owners)


def test_a_node_of_weight_0_owns_nothing() -> None:
    nodes = [*even_nodes(4, racks=4), Node(99, 1, "z:1", rack="rack-9", weight=0)]
    assert not (placement.place(nodes, 400, 3) == 4).any()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None, print_blob=True, phases=NO_SHRINKING)
def test_the_same_inputs_give_the_same_table_in_any_order(seed: int) -> None:
    nodes = random_nodes(seed, 12, Shape(racks=4, weight_max=5))
    owners = placement.place(nodes, 600, 3)
    assert (placement.place(nodes, 600, 3) == owners).all()
    shuffled = np.random.default_rng(seed).permutation(len(nodes))
    again = placement.place([nodes[i] for i in shuffled], 600, 3)
    assert (shuffled[again] == owners).all()


def test_balance_is_better_than_plain_rendezvous_by_far() -> None:
    """Plain weighted rendezvous is off by 19 % with 32 nodes and 4,096 groups."""
    nodes = even_nodes(32, racks=8)
    assert placement.imbalance(nodes, placement.place(nodes, 4_096, 3)).max() == 0


def test_imbalance_names_the_worst_node_of_each_prefix() -> None:
    nodes = even_nodes(2, racks=2)
    owners = np.array([[0, 1]] * 30 + [[1, 0]] * 10, dtype=np.int32)
    assert placement.imbalance(nodes, owners).tolist() == [9 / 20, 0]


def test_what_is_out_of_range_is_refused() -> None:
    nodes = even_nodes(3, racks=3)
    with pytest.raises(InvalidArgument, match="0 groups"):
        placement.place(nodes, 0, 3)
    with pytest.raises(InvalidArgument, match="width 41"):
        placement.place(nodes, 10, 41)
    with pytest.raises(InvalidArgument, match="same id"):
        placement.place([*nodes, nodes[0]], 10, 3)
    with pytest.raises(InvalidArgument, match="current is"):
        placement.place(nodes, 10, 3, np.zeros((9, 3), dtype=np.int32))
    with pytest.raises(InvalidArgument, match="outside of 0 to 2"):
        placement.place(nodes, 10, 3, np.full((10, 3), 3, dtype=np.int32))
    with pytest.raises(InvalidArgument, match="cannot be split by 0"):
        placement.split(np.zeros((4, 3), dtype=np.int32), 0)
