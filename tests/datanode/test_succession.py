"""Who takes over from whom: every owner that left is met by one that entered, and by one only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_datanode.succession import predecessor
from holdfast_kvstore.cluster_map import HOLE


@pytest.mark.parametrize(
    ("owners", "previous", "expected"),
    [
        ([1, 2, 9], [1, 2, 3], {9: 3}),
        ([1, 9, 3], [1, 2, 3], {9: 2}),
        ([9, 1, 2], [1, 2, 3], {9: 3}),
        ([1, 9, 2, 8], [1, 2, 3, 4], {9: 3, 8: 4}),
        ([3, 2, 1], [1, 2, 3], {}),
        ([1, 9, 3], [1, HOLE, 3], {}),
        ([1, 2, 3, 9], [1, 2, 3, HOLE], {}),
        ([1, 9, 2, HOLE], [1, 2, HOLE, HOLE], {}),
    ],
)
def test_who_entered_takes_over_from_who_left(
    owners: list[int], previous: list[int], expected: dict[int, int]
) -> None:
    nodes = [node for node in owners if node != HOLE]
    found = {node: predecessor(node, owners, previous) for node in nodes}
    assert {node: peer for node, peer in found.items() if peer != HOLE} == expected


@given(st.permutations(range(12)), st.permutations(range(12)), st.integers(1, 8), st.data())
def test_each_that_left_has_one_successor_and_who_stays_takes_nothing(
    old: list[int], new: list[int], width: int, data: st.DataObject
) -> None:
    previous, owners = old[:width], new[:width]
    for place in data.draw(st.sets(st.integers(0, width - 1), max_size=2)):
        previous[place] = HOLE
    entered = [node for node in owners if node not in previous]
    found = {node: predecessor(node, owners, previous) for node in owners}
    assert all(found[node] == HOLE for node in owners if node in previous)
    peers = [found[node] for node in entered if found[node] != HOLE]
    left = {node for node in previous if node != HOLE and node not in owners}
    assert len(peers) == len(set(peers))
    assert set(peers) == left
