"""The cluster map as a value: what it answers, and what it refuses to be."""

from dataclasses import replace

import numpy as np
import pytest

from holdfast_kvstore import HOLE, ClusterMap, InvalidArgument, Node, NodeState, NotFound

NODES = (
    Node(id=3, incarnation=1, tcp_address="a:1", capacity_bytes=10),
    Node(id=5, incarnation=1, tcp_address="b:1", capacity_bytes=20, state=NodeState.DOWN),
    Node(id=9, incarnation=1, tcp_address="c:1", capacity_bytes=40, state=NodeState.DRAINING),
)
MAP = ClusterMap(
    cluster_id=bytes(16),
    epoch=4,
    nodes=NODES,
    owners=np.array([[0, 1], [1, 0], [0, HOLE], [0, 1]]),
    previous=np.array([[HOLE, HOLE], [2, HOLE], [2, 1], [HOLE, HOLE]]),
)


def test_a_group_has_owners_in_order_and_previous_owners() -> None:
    assert [node.id for node in MAP.owners_of(1)] == [5, 3]
    assert [node.id for node in MAP.owners_of(2)] == [3]
    assert [node.id for node in MAP.previous_of(2)] == [9, 5]
    assert MAP.previous_of(0) == []
    with pytest.raises(InvalidArgument, match="group is 4"):
        MAP.owners_of(4)
    with pytest.raises(InvalidArgument, match="group is -1"):
        MAP.previous_of(-1)


def test_a_node_has_groups_by_how_many_copies_a_space_keeps() -> None:
    assert MAP.groups_of(3).tolist() == [0, 1, 2, 3]
    assert MAP.groups_of(3, copies=1).tolist() == [0, 2, 3]
    assert MAP.groups_of(9).tolist() == []
    assert MAP.groups_left_on(9).tolist() == [1, 2]
    assert MAP.is_owner(5, 0)
    assert not MAP.is_owner(5, 0, copies=1)
    assert MAP.moving_groups == 2


def test_a_node_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="node 7 is not in the cluster map of epoch 4"):
        MAP.node(7)


def test_loads_count_groups_by_prefix() -> None:
    assert MAP.loads().tolist() == [[3, 1, 0], [4, 3, 0]]


def test_capacity_counts_what_owns_and_what_is_up() -> None:
    capacity = MAP.capacity()
    assert (capacity.capacity_bytes, capacity.usable_bytes) == (30, 10)
    assert capacity.nodes_by_state[NodeState.DRAINING] == 1
    assert capacity.nodes_by_state[NodeState.OUT] == 0


def test_a_map_never_changes() -> None:
    with pytest.raises(ValueError, match="read-only"):
        MAP.owners[0, 0] = 1
    with pytest.raises(AttributeError):
        MAP.epoch = 5  # type: ignore[misc]
    assert replace(MAP) == MAP
    assert replace(MAP, epoch=5) != MAP
    assert MAP.__eq__("map") is NotImplemented


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"cluster_id": b"short"}, "16"),
        ({"epoch": 0}, "epoch 0"),
        ({"nodes": NODES[::-1]}, "sorted"),
        ({"nodes": NODES[:2]}, "outside of 0 to 1"),
        ({"owners": np.zeros((4, 3))}, "must both be"),
        ({"owners": np.zeros(4), "previous": np.zeros(4)}, "must both be"),
        ({"owners": np.zeros((4, 41)), "previous": np.zeros((4, 41))}, "width 41"),
        ({"owners": np.zeros((0, 2)), "previous": np.zeros((0, 2))}, "0 groups"),
        ({"owners": np.full((4, 2), -2)}, "owners names a node outside"),
        ({"ticket_keys": (b"short",)}, "32 bytes"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, object], shown: str) -> None:
    with pytest.raises(InvalidArgument, match=shown):
        replace(MAP, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"id": 0}, "id is 0"),
        ({"weight": -1}, "weight is -1"),
        ({"incarnation": 2**64}, "incarnation"),
        ({"capacity_bytes": -1}, "capacity_bytes"),
        ({"host": "x" * 257}, "host of node 3 has 257 bytes"),
    ],
)
def test_a_node_out_of_range_is_refused(change: dict[str, object], shown: str) -> None:
    with pytest.raises(InvalidArgument, match=shown):
        replace(NODES[0], **change)  # type: ignore[arg-type]


def test_what_a_state_means() -> None:
    owns = {state: replace(NODES[0], state=state).owns for state in NodeState}
    assert owns == {
        NodeState.UP: True,
        NodeState.DOWN: True,
        NodeState.OUT: False,
        NodeState.DRAINING: False,
    }
    assert not replace(NODES[0], weight=0).owns
    assert not replace(NODES[0], state=NodeState.OUT).may_hold
    assert replace(NODES[0], state=NodeState.DRAINING).may_hold
