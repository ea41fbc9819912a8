"""Segment lists: bounds, paged layouts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import holdfast
from holdfast import Plane, Segments
from holdfast._region import Region
from tests.client.blocks import keys

LAYERS, PAGES, PAGE_TOKENS, HEADS, HEAD_DIM = 3, 8, 4, 2, 8


def region_of(buffer: object) -> Region:
    return Region.of_buffer(buffer, 64, close_s=5)


def test_contiguous_blocks_and_their_defaults() -> None:
    with region_of(bytearray(1000)) as region:
        assert (region.blocks().blocks, region.blocks().block_bytes) == (15, 64)
        assert len(region.blocks(100)) == 10
        assert len(region.blocks(100, offset_bytes=950)) == 0
        assert len(region.blocks(100, [9, 0, 3])) == 3
        assert len(region.blocks(100, [])) == 0


@pytest.mark.parametrize("indices", [[10], [-1], [0, 1, 2**40]])
def test_an_index_outside_the_region_is_refused(indices: list[int]) -> None:
    with region_of(bytearray(1000)) as region:
        with pytest.raises(holdfast.InvalidArgument, match="1000"):
            region.blocks(100, indices)


@pytest.mark.parametrize("indices", [[0.5], [[0]], ["a"]])
def test_indices_must_be_integers(indices: list[object]) -> None:
    with region_of(bytearray(1000)) as region:
        with pytest.raises(holdfast.InvalidArgument):
            region.blocks(100, indices)  # type: ignore[arg-type]


def test_planes_must_lie_in_regions() -> None:
    with region_of(bytearray(64)) as region:
        with pytest.raises(holdfast.InvalidArgument):
            Segments.paged([], [0])
        with pytest.raises(holdfast.InvalidArgument):
            Segments.paged([Plane(region, base=1, block_stride=64, run_bytes=64)], [0])
        with pytest.raises(holdfast.InvalidArgument, match="Region"):
            Segments.paged([Plane(np.zeros(64), base=0, block_stride=64, run_bytes=64)], [0])


def test_segments_outlive_a_closed_region_as_errors() -> None:
    region = region_of(bytearray(64))
    region.close()
    with pytest.raises(holdfast.Closed):
        Segments.paged([Plane(region, base=0, block_stride=64, run_bytes=64)], [0])


def paged_planes(regions: list[holdfast.Region]) -> list[Plane]:
    """K and V of each layer; a layer is float16[2, PAGES, PAGE_TOKENS, HEADS, HEAD_DIM]."""
    page_bytes = PAGE_TOKENS * HEADS * HEAD_DIM * 2
    return [
        Plane(region, base=part * PAGES * page_bytes, block_stride=page_bytes, run_bytes=page_bytes)
        for region in regions
        for part in range(2)
    ]


@pytest.mark.process
def test_one_block_of_a_paged_layout_is_one_key(
    cluster: holdfast.Cluster, new_name: Callable[[], str]
) -> None:
    shape = (2, PAGES, PAGE_TOKENS, HEADS, HEAD_DIM)
    random = np.random.default_rng(1)
    layers = [random.standard_normal(shape).astype(np.float16) for _ in range(LAYERS)]
    copies = [np.zeros(shape, np.float16) for _ in range(LAYERS)]
    block_bytes = LAYERS * 2 * PAGE_TOKENS * HEADS * HEAD_DIM * 2
    space = cluster.space(new_name(), block_bytes=block_bytes, create=True)

    out_of = [space.register(layer) for layer in layers]
    into = [space.register(copy) for copy in copies]
    stored = Segments.paged(paged_planes(out_of), [5, 0, 7])
    assert stored.block_bytes == block_bytes
    assert space.put(keys(0, 3), stored).stored == 3
    # Read back into other pages, as after a restart of the engine.
    assert space.get(keys(0, 3), Segments.paged(paged_planes(into), [1, 2, 3])).all_hit
    for layer, copy in zip(layers, copies, strict=True):
        assert np.array_equal(copy[:, [1, 2, 3]], layer[:, [5, 0, 7]])
        assert not copy[:, [0, 4, 5, 6, 7]].any()


@pytest.mark.process
def test_runs_of_a_plane_are_strided(
    cluster: holdfast.Cluster, new_name: Callable[[], str]
) -> None:
    # [heads, pages, bytes]: each page's bytes of every head lie apart.
    memory = np.random.default_rng(2).integers(0, 256, (4, 6, 32), np.uint8)
    copy = np.zeros_like(memory)
    space = cluster.space(new_name(), block_bytes=4 * 32, create=True)

    def plane(region: holdfast.Region) -> Plane:
        return Plane(region, base=0, block_stride=32, run_bytes=32, runs=4, run_stride=6 * 32)

    put = Segments.paged([plane(space.register(memory))], [4, 1])
    assert space.put(keys(0, 2), put).stored == 2
    got = Segments.paged([plane(space.register(copy))], [4, 1])
    assert space.get(keys(0, 2), got).all_hit
    assert np.array_equal(copy[:, [4, 1]], memory[:, [4, 1]])
    assert not copy[:, [0, 2, 3, 5]].any()
    # The same bytes, read as one piece: the heads one behind the other.
    flat = np.zeros((2, 4, 32), np.uint8)
    assert space.get(keys(0, 2), space.register(flat).blocks()).all_hit
    assert np.array_equal(flat, memory[:, [4, 1]].swapaxes(0, 1))
