from __future__ import annotations

from collections.abc import Sequence

import pytest

from holdfast_datanode.view import View
from holdfast_kvstore.cluster_map import ClusterMap
from holdfast_kvstore.errors import HoldfastError
from holdfast_kvstore.map_codec import encode_map
from holdfast_proto import meta_pb2
from tests.datanode.maps import cluster_map
from tests.datanode.native_twin import NodeTwin, groups_in

MAP = cluster_map([[1], [2], [1]], epoch=5)


def space(number: int, redundancy: str = "single") -> meta_pb2.SpaceInfo:
    return meta_pb2.SpaceInfo(
        number=number, tenant_number=3, block_bytes=4096, redundancy=redundancy, ttl_s=60
    )


def news(
    version: int,
    map_: ClusterMap | None = MAP,
    spaces: Sequence[int] = (),
    limits: dict[int, int] | None = None,
) -> meta_pb2.NodeView:
    return meta_pb2.NodeView(
        version=version,
        epoch=map_.epoch if map_ is not None else 0,
        map=encode_map(map_) if map_ is not None else b"",
        spaces=[space(number) for number in spaces],
        ticket_keys=[meta_pb2.TicketKey(key_id=1, public_key=bytes(32))],
        tenants=[meta_pb2.TenantInfo(number=n, limit_bytes=b) for n, b in (limits or {}).items()],
    )


@pytest.fixture
def twin() -> NodeTwin:
    return NodeTwin()


@pytest.fixture
def view(twin: NodeTwin) -> View:
    return View(1, twin)


def test_the_first_view_says_what_to_serve(view: View, twin: NodeTwin) -> None:
    assert not view.wait_applied(0)
    view.apply(news(1, spaces=[7]))
    assert view.wait_applied(0)
    assert twin.ticket_keys == [(1, bytes(32))]
    assert twin.routes == [(5, 3, {0, 2})]
    assert view.spaces == {7: (3, 4096, 60, 0, 1)}
    assert (view.version, view.epoch) == (1, 5)


def test_a_view_without_a_newer_map_leaves_the_route(view: View, twin: NodeTwin) -> None:
    view.apply(news(1))
    view.apply(news(2))
    view.apply(news(3, map_=None))
    assert len(twin.routes) == 1
    assert (view.version, view.epoch) == (3, 5)


def test_an_older_view_is_ignored(view: View, twin: NodeTwin) -> None:
    view.apply(news(2, spaces=[7]))
    view.apply(news(1, spaces=[]))
    assert twin.dropped_spaces == []
    assert view.version == 2


def test_a_space_that_vanished_is_dropped_once(view: View, twin: NodeTwin) -> None:
    view.apply(news(1, spaces=[7, 8]))
    view.apply(news(2, spaces=[8]))
    view.apply(news(3, spaces=[8]))
    assert twin.dropped_spaces == [7]


def test_a_space_that_came_and_went_between_two_views_is_dropped(
    view: View, twin: NodeTwin
) -> None:
    view.apply(news(1, spaces=[7]))
    view.apply(news(2, spaces=[7, 10]))
    assert twin.dropped_spaces == [8, 9]


def test_the_newest_space_that_came_and_went_between_two_views_is_dropped(
    view: View, twin: NodeTwin
) -> None:
    view.apply(news(1, spaces=[7]))
    later = news(2, spaces=[7])
    later.space_last = 9
    view.apply(later)
    assert twin.dropped_spaces == [8, 9]
    view.apply(news(3, spaces=[7]))
    assert twin.dropped_spaces == [8, 9]


def test_what_to_keep_follows_the_copies_of_the_spaces(view: View, twin: NodeTwin) -> None:
    def kept() -> set[int]:
        assert view.duties is not None
        assert view.duties.kept is not None
        return groups_in(view.duties.kept)

    map_ = cluster_map([[1, 2], [2, 1]])
    view.apply(news(1, map_=map_, spaces=[7]))
    assert kept() == {0}
    mirrored = news(2, map_=map_, spaces=[7])
    mirrored.spaces.append(space(8, "mirror:2"))
    view.apply(mirrored)
    assert kept() == {0, 1}
    # Such a space may be made anew, and be put into before this node hears of it.
    view.apply(news(3, map_=map_, spaces=[7]))
    assert kept() == {0, 1}


def test_a_space_of_unknown_redundancy_is_kept_but_not_moved(view: View, twin: NodeTwin) -> None:
    unknown = news(1)
    unknown.spaces.append(space(9, redundancy="raid:5"))
    view.apply(unknown)
    assert view.spaces == {}
    unknown.version = 2
    view.apply(unknown)
    assert twin.dropped_spaces == []


def test_of_a_space_of_shards_a_node_stores_chunks_and_keeps_as_many_places(
    view: View, twin: NodeTwin
) -> None:
    map_ = cluster_map([[2, 3, 1], [2, 1, 3]])
    view.apply(news(1, map_=map_, spaces=[7]))
    assert view.duties is not None
    assert groups_in(view.duties.kept or b"") == set()
    cut = news(2, map_=map_, spaces=[7])
    cut.spaces.append(space(8, "ec:2+1"))
    view.apply(cut)
    assert view.spaces[8] == (3, 2048 + 32, 60, 0, 3)
    assert view.cut == {8}
    assert groups_in(view.duties.kept or b"") == {0, 1}


def test_a_space_of_shards_that_is_made_anew_loses_nothing(view: View, twin: NodeTwin) -> None:
    map_ = cluster_map([[2, 3, 1], [2, 1, 3]])
    first, second = news(1, map_=map_), news(3, map_=map_)
    first.spaces.append(space(8, "ec:2+1"))
    second.spaces.append(space(9, "ec:2+1"))
    view.apply(first)
    view.apply(news(2, map_=map_))
    # Put by a client that knew of the new space before this node did.
    twin.blocks = {(9, 0, "chunk")}
    view.apply(second)
    assert twin.blocks == {(9, 0, "chunk")}


def test_limits_of_tenants_are_set_changed_and_lifted(view: View, twin: NodeTwin) -> None:
    view.apply(news(1, limits={3: 100, 4: 0}))
    assert twin.limits == {3: 100}
    view.apply(news(2, limits={3: 200}))
    assert twin.limits == {3: 200}
    view.apply(news(3, limits={3: 0}))
    assert twin.limits == {3: None}


def test_listeners_are_told_after_the_view_holds(view: View) -> None:
    seen: list[int] = []
    view.on_change(lambda: seen.append(view.epoch))
    view.apply(news(1))
    assert seen == [5]


def test_a_damaged_map_changes_nothing(view: View, twin: NodeTwin) -> None:
    damaged = news(1)
    damaged.map = damaged.map[:-1] + b"\0"
    with pytest.raises(HoldfastError):
        view.apply(damaged)
    assert view.duties is None
    assert twin.routes == []
    assert twin.ticket_keys == []


def test_what_stayed_behind_of_a_group_is_dropped_before_it_comes_back(
    view: View, twin: NodeTwin
) -> None:
    here = {(7, group, "a") for group in range(3)}
    twin.blocks = set(here)
    view.apply(news(1, cluster_map([[1], [1], [1]], epoch=5)))
    view.apply(news(2, cluster_map([[1], [2], [2]], [[0], [1], [1]], epoch=6)))
    view.apply(news(3, cluster_map([[1], [1], [2]], [[0], [2], [1]], epoch=7)))
    assert twin.blocks == here, "a previous owner is told of deletes"
    view.apply(news(4, cluster_map([[1], [1], [2]], epoch=8)))
    assert (7, 2, "a") in twin.blocks, "callers with older maps still read it"
    view.apply(news(5, cluster_map([[1], [1], [1]], [[0], [0], [2]], epoch=9)))
    assert (7, 2, "a") not in twin.blocks
    assert (7, 0, "a") in twin.blocks


def test_a_group_that_was_not_left_entirely_keeps_its_blocks(view: View, twin: NodeTwin) -> None:
    twin.blocks = {(7, group, "a") for group in range(2)}
    view.apply(news(1, cluster_map([[1], [1]], epoch=5)))
    view.apply(news(2, cluster_map([[1], [2]], [[0], [1]], epoch=6)))
    view.apply(news(3, cluster_map([[1], [1]], [[0], [2]], epoch=7)))
    assert len(twin.blocks) == 2


def test_groups_that_come_back_after_a_split_are_the_parts_of_the_old_ones(
    view: View, twin: NodeTwin
) -> None:
    view.apply(news(1, cluster_map([[1], [1]], epoch=5)))
    view.apply(news(2, cluster_map([[1], [2]], epoch=6)))
    twin.blocks = {(7, group, "a") for group in range(4)}
    view.apply(news(3, cluster_map([[1], [1], [2], [1]], epoch=7)))
    assert twin.blocks == {(7, group, "a") for group in (0, 1, 2)}
