"""The kernel that gathers and scatters blocks, run on the host against numpy."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
import pytest

from holdfast.engines.vllm.kv_memory import Page, joined
from holdfast.engines.vllm.tiles import TILE, TILE_BYTES_MAX, tiled_bytes, tiles_of
from holdfast_kvstore.segments import Plane, Segments
from tests.engines.host_kernel import launch

BLOCKS_MAX = 256
MOVES = np.dtype([("block", np.int32, (BLOCKS_MAX,)), ("slot", np.int32, (BLOCKS_MAX,))])
Bytes = npt.NDArray[np.uint8]


class Memory:
    """Has as many bytes as a plane may reach into."""

    def __init__(self, nbytes: int, offset: int) -> None:
        self.nbytes = nbytes
        whole = np.random.default_rng(nbytes).integers(0, 256, nbytes + 16 + offset, np.uint8)
        # Allocations begin at a multiple of 256 on a GPU; here, where the test says.
        begin = -whole.ctypes.data % 16 + offset
        self.bytes: Bytes = whole[begin : begin + nbytes]


def copy(
    tiles: npt.NDArray[np.void],
    staging: Bytes,
    slot_bytes: int,
    moves: list[tuple[int, int]],
    *,
    into_pages: bool,
    threads: tuple[int, int] = (3, 64),
) -> None:
    packed = np.zeros(1, MOVES)
    for place, (block, slot) in enumerate(moves):
        packed["block"][0, place], packed["slot"][0, place] = block, slot
    arguments = (
        tiles,
        np.int32(len(tiles)),
        packed,
        np.int32(len(moves)),
        np.int64(staging.ctypes.data),
        np.int64(slot_bytes),
        np.int32(into_pages),
    )
    launch(*threads, arguments)


def segments(pages: list[Page], memories: list[Memory], blocks: list[int]) -> Segments:
    """Where those blocks lie, as everything but a GPU is told."""
    planes = tuple(
        Plane(
            memories[page.storage],
            page.base,
            page.stride,
            page.run_bytes,
            page.runs,
            page.run_stride,
        )
        for page in pages
    )
    return Segments(planes, np.array(blocks))


def content(where: Segments, number: int) -> Bytes:
    """A block's bytes, joined."""
    parts = []
    for region, offset, nbytes in where.pieces(number):
        assert isinstance(region, Memory)
        parts.append(region.bytes[offset : offset + nbytes])
    return np.concatenate(parts)


def put(where: Segments, number: int, block: Bytes) -> None:
    """Writes a block's bytes, joined, to where they belong."""
    begin = 0
    for region, offset, nbytes in where.pieces(number):
        assert isinstance(region, Memory)
        region.bytes[offset : offset + nbytes] = block[begin : begin + nbytes]
        begin += nbytes


def random_layout(chance: random.Random) -> tuple[list[Page], list[Memory], int]:
    """Pages that do not overlap, the memory that they lie in, and the number of blocks."""
    blocks = chance.randint(1, 12)
    unit = chance.choice([1, 2, 4, 8, 16, 64])
    storages = chance.randint(1, 3)
    ends = [0] * storages
    pages = []
    for _ in range(chance.randint(1, 5)):
        storage = chance.randrange(storages)
        run_bytes = unit * chance.choice([1, 3, 8, 32, 129, 300])
        runs = chance.randint(1, 4)
        gap = unit * chance.randint(0, 2)
        base = ends[storage] + gap
        if chance.random() < 0.5:  # a block's runs lie together
            run_stride = run_bytes + gap
            stride = runs * run_stride
        else:  # each run's blocks lie together
            stride = run_bytes + gap
            run_stride = blocks * stride
        pages.append(Page(storage, base, stride, run_bytes, runs, run_stride))
        ends[storage] = base + blocks * runs * (run_bytes + gap)
    offset = chance.choice([0, 0, 4, 1])
    return pages, [Memory(end + 64, offset) for end in ends], blocks


@pytest.mark.parametrize("into_pages", [True, False])
def test_random_layouts_are_copied_exactly(into_pages: bool) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(300):
        pages, memories, blocks = random_layout(chance)
        tiles = tiles_of(joined(pages), [memory.bytes.ctypes.data for memory in memories])
        block_bytes = tiled_bytes(tiles)
        slot_bytes = block_bytes + chance.choice([0, 1, 16]) - block_bytes % 16 + 16
        slots = blocks + chance.randint(0, 3)
        staging = Memory(slots * slot_bytes, 0)
        chosen = chance.sample(range(blocks), chance.randint(1, blocks))
        moves = list(zip(chosen, chance.sample(range(slots), len(chosen)), strict=True))
        where = segments(pages, memories, chosen)
        assert where.block_bytes == block_bytes

        expected_staging = staging.bytes.copy()
        expected_pages = [memory.bytes.copy() for memory in memories]
        for number, (_, slot) in enumerate(moves):
            begin = slot * slot_bytes
            if into_pages:
                put(where, number, staging.bytes[begin : begin + block_bytes])
            else:
                expected_staging[begin : begin + block_bytes] = content(where, number)
        if into_pages:
            wanted = [memory.bytes.copy() for memory in memories]
            for memory, before in zip(memories, expected_pages, strict=True):
                memory.bytes[:] = before
            expected_pages = wanted
        threads = (chance.randint(1, 4), 32 * chance.randint(1, 4))
        copy(tiles, staging.bytes, slot_bytes, moves, into_pages=into_pages, threads=threads)
        assert np.array_equal(staging.bytes, expected_staging)
        for memory, expected in zip(memories, expected_pages, strict=True):
            assert np.array_equal(memory.bytes, expected)


def test_a_launch_copies_as_many_blocks_as_fit_in_its_parameters() -> None:
    page = 48
    kv = Memory(BLOCKS_MAX * page, 0)
    staging = Memory(BLOCKS_MAX * page, 0)
    tiles = tiles_of([Page(0, 0, page, page)], [kv.bytes.ctypes.data])
    moves = [(block, BLOCKS_MAX - 1 - block) for block in range(BLOCKS_MAX)]
    copy(tiles, staging.bytes, page, moves, into_pages=False)
    assert np.array_equal(
        staging.bytes.reshape(BLOCKS_MAX, page), kv.bytes.reshape(BLOCKS_MAX, page)[::-1]
    )


def test_layers_that_lie_side_by_side_are_cut_into_whole_tiles() -> None:
    pages = [Page(0, layer * 6_144, 4 * 6_144, 6_144) for layer in range(4)]
    tiles = tiles_of(joined(pages), [1 << 20])
    assert tiles.dtype == TILE
    assert tiles["nbytes"].tolist() == [TILE_BYTES_MAX] * 12
    assert tiles["place"].tolist() == list(range(0, 24_576, TILE_BYTES_MAX))
    assert tiles["address"].tolist() == [(1 << 20) + place for place in tiles["place"]]
    assert set(tiles["stride"].tolist()) == {4 * 6_144}
