"""Segment lists: which bytes a block is, and that nothing outside of a region is ever named."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdfast_kvstore import InvalidArgument, Plane, Segments, contiguous


@dataclass(frozen=True)
class Memory:
    nbytes: int


STRIDES = st.integers(-40, 40)
PLANES = st.tuples(st.integers(-20, 60), STRIDES, st.integers(1, 12), st.integers(1, 4), STRIDES)


def gathered(segments: Segments, data: bytes) -> list[bytes]:
    return [
        b"".join(data[offset : offset + size] for _, offset, size in segments.pieces(block))
        for block in range(segments.blocks)
    ]


def test_one_block_of_a_paged_layout_is_one_key() -> None:
    # Two layers, each [page, key or value, 4 bytes]: 3 pages of 2 x 4 bytes.
    data = bytes(range(48))
    memory = Memory(len(data))
    planes = tuple(Plane(memory, base=24 * layer, block_stride=8, run_bytes=8) for layer in (0, 1))
    segments = Segments(planes, np.array([2, 0]))
    assert (segments.blocks, segments.block_bytes) == (2, 16)
    assert gathered(segments, data) == [data[16:24] + data[40:48], data[0:8] + data[24:32]]


def test_runs_of_one_block_may_lie_apart() -> None:
    data = bytes(range(64))
    plane = Plane(Memory(64), base=0, block_stride=4, run_bytes=4, runs=3, run_stride=16)
    segments = Segments((plane,), np.array([1]))
    assert gathered(segments, data) == [data[4:8] + data[20:24] + data[36:40]]


@given(st.lists(PLANES, min_size=1, max_size=3), st.lists(st.integers(-5, 5), max_size=6))
def test_exactly_what_leaves_a_region_is_refused(
    shapes: list[tuple[int, int, int, int, int]], indices: list[int]
) -> None:
    memory = Memory(100)
    assume(all(runs == 1 or abs(run_stride) >= size for _, _, size, runs, run_stride in shapes))
    planes = tuple(
        Plane(memory, base, stride, size, runs, run_stride)
        for base, stride, size, runs, run_stride in shapes
    )
    inside = all(
        plane.base + index * plane.block_stride + run * plane.run_stride >= 0
        and plane.base + index * plane.block_stride + run * plane.run_stride + plane.run_bytes
        <= memory.nbytes
        for plane in planes
        for index in indices
        for run in range(plane.runs)
    )
    if inside:
        segments = Segments(planes, np.array(indices, dtype=np.int64))
        assert segments.blocks == len(indices)
    else:
        with pytest.raises(InvalidArgument, match=r"region has 100 bytes"):
            Segments(planes, np.array(indices, dtype=np.int64))


def test_a_block_outside_is_named() -> None:
    with pytest.raises(InvalidArgument, match=r"block 1 \(index 7\) takes bytes 70 to 80"):
        contiguous(Memory(75), 10, indices=[0, 7, 3])
    with pytest.raises(InvalidArgument, match=r"block 2 \(index -1\) takes bytes -10 to 0"):
        contiguous(Memory(75), 10, indices=[0, 6, -1])


def test_numbers_that_would_wrap_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        contiguous(Memory(100), 10, indices=np.array([2**62], dtype=np.int64))
    with pytest.raises(InvalidArgument, match="does not fit"):
        contiguous(Memory(100), 10, indices=np.array([2**63], dtype=np.uint64))


def test_contiguous_blocks_by_index_by_offset_and_all() -> None:
    memory = Memory(35)
    data = bytes(range(35))
    by_index = contiguous(memory, 10, indices=[2, 0])
    by_offset = contiguous(memory, 10, offsets=[20, 0])
    assert gathered(by_index, data) == gathered(by_offset, data) == [data[20:30], data[0:10]]
    assert contiguous(memory, 10).blocks == 3
    assert gathered(contiguous(memory, 10, base=5), data)[0] == data[5:15]
    assert contiguous(memory, 10, indices=[]).blocks == 0
    assert contiguous(memory, 50).blocks == 0


def test_what_is_no_segment_list_is_refused() -> None:
    memory = Memory(100)
    with pytest.raises(InvalidArgument, match="both must be at least 1"):
        Plane(memory, 0, 10, 0)
    with pytest.raises(InvalidArgument, match="base of a plane"):
        Plane(memory, cast(int, 1.5), 10, 8)
    with pytest.raises(InvalidArgument, match="runs of a plane"):
        Plane(memory, 0, 10, 8, runs=cast(int, "2"))
    with pytest.raises(InvalidArgument, match="overlap"):
        Plane(memory, 0, 10, 8, runs=2, run_stride=4)
    with pytest.raises(InvalidArgument, match="planes"):
        Segments((), np.array([0]))
    with pytest.raises(InvalidArgument, match="float64"):
        contiguous(memory, 10, indices=np.array([0.5]))
    with pytest.raises(InvalidArgument, match=r"\[1, 2\]"):
        contiguous(memory, 10, indices=np.array([[0, 1]]))
    with pytest.raises(InvalidArgument, match="not both"):
        contiguous(memory, 10, indices=[0], offsets=[0])
    with pytest.raises(InvalidArgument, match="block_bytes"):
        contiguous(memory, 0)


def test_the_callers_array_may_change_afterwards() -> None:
    indices = np.array([1, 2])
    segments = contiguous(Memory(100), 10, indices=indices)
    indices[0] = 99
    assert segments.indices.tolist() == [1, 2]
