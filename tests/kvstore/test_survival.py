"""What a map's rows survive: against every loss of hosts and racks, tried out."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_kvstore import ClusterMap, Node, NodeState, Redundancy, placement
from holdfast_kvstore.survival import survival_of
from tests.kvstore.clusters import Shape, even_nodes, random_nodes, with_state


def map_of(nodes: list[Node], width: int, groups: int = 60) -> ClusterMap:
    owners = placement.place(nodes, groups, width)
    return ClusterMap(bytes(16), 1, tuple(nodes), owners, np.full_like(owners, -1))


def tried_out(value: ClusterMap, redundancy: Redundancy, kind: str, *, only_up: bool) -> int:
    """The most domains of which any may fail, found by letting all of them fail."""
    labels = {(n.rack, n.host or n.id) if kind == "host" else n.rack for n in value.nodes}
    rows = []
    for group in range(value.group_count):
        owners = value.owners_of(group)[: redundancy.owners]
        rows.append([n for n in owners if not only_up or n.state is NodeState.UP])
    for lost in range(len(labels) + 1):
        for gone in combinations(labels, lost):
            for row in rows:
                left = [
                    n
                    for n in row
                    if ((n.rack, n.host or n.id) if kind == "host" else n.rack) not in gone
                ]
                if len(left) < redundancy.data:
                    return max(0, lost - 1)
    return len(labels)


@settings(max_examples=25, deadline=None, print_blob=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 9),
    racks=st.sampled_from([0, 2, 3]),
    hosts=st.sampled_from([0, 2, 4]),
    text=st.sampled_from(["single", "mirror:2", "ec:2+1", "ec:3+2", "ec:4+2"]),
    down=st.sets(st.integers(0, 8), max_size=3),
)
def test_as_many_hosts_and_racks_may_fail_as_no_loss_of_them_takes_a_block(
    seed: int, count: int, racks: int, hosts: int, text: str, down: set[int]
) -> None:
    nodes = random_nodes(seed, count, Shape(racks, hosts))
    for index in down:
        nodes = with_state(nodes, index, NodeState.DOWN)
    redundancy = Redundancy.parse(text)
    value = map_of(nodes, redundancy.owners)
    found = survival_of(value, redundancy)
    assert found.placed == min(count, redundancy.owners)
    assert found.hosts == tried_out(value, redundancy, "host", only_up=False)
    assert found.hosts_now == tried_out(value, redundancy, "host", only_up=True)
    assert found.racks == tried_out(value, redundancy, "rack", only_up=False)
    assert found.racks_now == tried_out(value, redundancy, "rack", only_up=True)


@pytest.mark.parametrize(
    ("text", "down", "hosts", "now", "is_lost"),
    [
        ("single", 0, 0, 0, False),
        ("single", 1, 0, 0, True),
        ("mirror:3", 1, 2, 1, False),
        ("ec:4+2", 0, 2, 2, False),
        ("ec:4+2", 1, 2, 1, False),
        ("ec:4+2", 2, 2, 0, False),
        ("ec:4+2", 3, 2, 0, True),
    ],
)
def test_nodes_that_are_down_count_now(
    text: str, down: int, hosts: int, now: int, is_lost: bool
) -> None:
    nodes = even_nodes(6, racks=1)
    for index in range(down):
        nodes = with_state(nodes, index, NodeState.DOWN)
    found = survival_of(map_of(nodes, 6), Redundancy.parse(text))
    assert (found.hosts, found.hosts_now) == (hosts, now)
    assert (found.groups_lost > 0) == is_lost


def test_one_host_of_several_nodes_is_one_failure_that_takes_them_all() -> None:
    nodes = [Node(i + 1, 1, "a:1", host=f"host-{i % 3}") for i in range(6)]
    found = survival_of(map_of(nodes, 6), Redundancy(data=4, parity=2))
    assert (found.placed, found.hosts, found.racks) == (6, 1, 0)


def test_three_racks_hold_two_shards_each_and_one_may_fail() -> None:
    found = survival_of(map_of(even_nodes(12, racks=3), 6), Redundancy(data=4, parity=2))
    assert (found.hosts, found.racks) == (2, 1)


def test_a_map_without_nodes_holds_nothing() -> None:
    found = survival_of(map_of([], 3), Redundancy(2))
    assert (found.placed, found.hosts, found.groups_lost) == (0, 0, 60)
