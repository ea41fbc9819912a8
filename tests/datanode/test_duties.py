from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from holdfast_datanode.duties import Source, bitmap, duties_of
from holdfast_kvstore.cluster_map import NodeState
from tests.datanode.maps import cluster_map
from tests.datanode.native_twin import groups_in, owned_by_place


@given(st.lists(st.booleans(), min_size=1, max_size=70))
def test_a_bitmap_has_bit_g_of_byte_g_over_8(groups: list[bool]) -> None:
    packed = bitmap(np.array(groups, dtype=np.bool_))
    assert len(packed) == -(-len(groups) // 8)
    assert groups_in(packed) == {g for g, is_set in enumerate(groups) if is_set}


def test_a_node_owns_groups_by_place() -> None:
    duties = duties_of(1, cluster_map([[1, 2], [2, 1], [3, 4]]), 2)
    assert owned_by_place(duties.owned, 3) == [{0}, {1}]
    assert duties.pending == frozenset()


def test_a_node_keeps_groups_that_it_gave_away_until_they_were_taken_over() -> None:
    duties = duties_of(1, cluster_map([[2], [1], [3]], [[1], [0], [0]]), 2)
    assert owned_by_place(duties.owned, 3) == [{1}]
    assert duties.kept is not None
    assert groups_in(duties.kept) == {0, 1}


def test_moves_are_named_by_previous_owner_and_by_this_nodes_place() -> None:
    duties = duties_of(1, cluster_map([[1, 2], [3, 1], [1, 4]], [[3, 4], [4, 0], [0, 0]]), 2)
    assert duties.pending == {0, 1}
    assert duties.moves == {Source(3, 0): {0}, Source(4, 0): {0}, Source(4, 1): {1}}
    assert {peer: node.tcp_address for peer, node in duties.peers.items()} == {
        3: "node-3:1",
        4: "node-4:1",
    }


def test_a_group_whose_previous_owner_is_the_node_itself_is_pending_without_a_move() -> None:
    duties = duties_of(1, cluster_map([[2, 1]], [[1, 0]]), 2)
    assert duties.pending == {0}
    assert duties.moves == {}


def test_a_node_that_is_not_in_the_map_owns_nothing_and_drops_nothing() -> None:
    duties = duties_of(9, cluster_map([[1], [2]]), 2)
    assert groups_in(duties.owned) == set()
    assert duties.kept is None


def test_a_node_that_is_out_drops_nothing() -> None:
    duties = duties_of(1, cluster_map([[2], [3]], states={1: NodeState.OUT}), 2)
    assert duties.kept is None


def test_a_node_that_drains_drops_what_was_taken_over() -> None:
    map_ = cluster_map([[2], [3]], [[1], [0]], states={1: NodeState.DRAINING})
    duties = duties_of(1, map_, 2)
    assert duties.kept is not None
    assert groups_in(duties.kept) == {0}


def test_an_owner_keeps_nothing_in_a_place_that_no_space_has_copies_for() -> None:
    map_ = cluster_map([[1, 2], [2, 1], [2, 1]], [[0, 0], [0, 0], [1, 0]])
    duties = duties_of(1, map_, 1)
    assert owned_by_place(duties.owned, 3) == [{0}, {1, 2}]
    assert duties.kept is not None
    assert groups_in(duties.kept) == {0, 2}


def test_chunks_are_taken_over_from_the_owner_that_left_the_row_only() -> None:
    map_ = cluster_map([[2, 1, 3], [2, 3, 1], [1, 2, 3]], [[2, 4, 3], [2, 3, 0], [3, 2, 1]])
    duties = duties_of(1, map_, 3, {3})
    assert duties.pending == {0, 1, 2}
    assert {s: groups for s, groups in duties.moves.items() if s.owners} == {
        Source(4, owners=3): {0}
    }


def test_spaces_of_fewer_shards_have_other_predecessors() -> None:
    map_ = cluster_map([[2, 1, 4, 3]], [[2, 3, 4, 1]])
    duties = duties_of(1, map_, 4, {2, 4})
    assert {s for s in duties.moves if s.owners} == {Source(3, owners=2)}


def test_behind_the_places_of_whole_copies_only_chunks_are_taken_over() -> None:
    duties = duties_of(1, cluster_map([[2, 3, 4, 1]], [[2, 3, 4, 0]]), 4, {4})
    assert duties.pending == {0}
    assert duties.moves == {}
