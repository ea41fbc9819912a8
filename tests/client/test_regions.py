"""What can be registered, and the life of a region."""

from __future__ import annotations

import array
import gc
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import holdfast
from holdfast._region import Region

BLOCK = 512


def region_of(buffer: object) -> Region:
    return Region.of_buffer(buffer, BLOCK, close_s=5)


class OnlyDlpack:
    """A tensor that speaks DLPack and nothing else."""

    def __init__(self, values: npt.NDArray[np.number[Any]]) -> None:
        self.values = values

    def __dlpack__(self, **options: Any) -> object:
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class OldDlpack(OnlyDlpack):
    """One from before versions: no keyword is known."""

    def __dlpack__(self) -> object:  # type: ignore[override]
        return self.values.__dlpack__()


class OnlyArrayInterface:
    def __init__(self, values: npt.NDArray[np.number[Any]]) -> None:
        self.values = values
        self.__array_interface__ = values.__array_interface__


class OnAGpu:
    @property
    def __cuda_array_interface__(self) -> dict[str, object]:
        return {"data": (1, False), "shape": (1,), "typestr": "|u1", "version": 3}


class DlpackOnAGpu(OnlyDlpack):
    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


@pytest.mark.parametrize("kind", [OnlyDlpack, OldDlpack, OnlyArrayInterface])
def test_arrays_without_buffer_protocol(kind: type) -> None:
    values = np.arange(2 * BLOCK // 4, dtype=np.float32).reshape(2, -1)
    region = region_of(kind(values))
    assert region.nbytes == 2 * BLOCK
    assert region._native.address == values.ctypes.data
    assert not region.readonly
    region.close()


@pytest.mark.parametrize(
    "buffer", [bytearray(BLOCK), memoryview(bytearray(BLOCK)), array.array("d", [0] * (BLOCK // 8))]
)
def test_the_buffer_protocol(buffer: object) -> None:
    with region_of(buffer) as region:
        assert region.nbytes == BLOCK
        assert region.memory is buffer
        assert not region.readonly
        assert len(region.blocks()) == 1


def test_read_only_memory_serves_puts_alone() -> None:
    with region_of(bytes(BLOCK)) as region:
        assert region.readonly


@pytest.mark.parametrize("gpu", [OnAGpu(), DlpackOnAGpu(np.zeros(4))])
def test_gpu_memory_gets_a_clear_error(gpu: object) -> None:
    with pytest.raises(holdfast.Unsupported, match="host memory"):
        region_of(gpu)


@pytest.mark.parametrize(
    "strided",
    [
        np.zeros((8, 8), np.uint8)[:, ::2],
        OnlyArrayInterface(np.zeros((8, 8), np.uint8)[:, ::2]),
        OnlyDlpack(np.zeros((8, 8), np.uint8)[:, ::2]),
    ],
)
def test_memory_with_gaps_is_refused(strided: object) -> None:
    with pytest.raises(holdfast.InvalidArgument, match="C-contiguous"):
        region_of(strided)


def test_what_is_no_memory_is_refused() -> None:
    with pytest.raises(holdfast.InvalidArgument, match="int"):
        region_of(42)


def test_a_region_holds_its_buffer_and_closing_lets_it_go() -> None:
    class Kept(bytearray):
        pass

    buffer = Kept(BLOCK)
    watched = weakref.ref(buffer)
    region = region_of(buffer)
    del buffer
    gc.collect()
    assert watched() is not None
    region.close()
    region.close()
    gc.collect()
    assert watched() is None
    assert region.closed
    with pytest.raises(holdfast.Closed):
        _ = region.memory
    with pytest.raises(holdfast.Closed):
        region.blocks()


def test_allocated_memory_cannot_shrink_or_grow() -> None:
    import os

    region = Region.allocated(3 * BLOCK, BLOCK, close_s=5)
    assert region._sealed is not None
    for size in (0, BLOCK, 1 << 20):
        with pytest.raises(PermissionError):
            os.ftruncate(region._sealed.descriptor, size)
    assert region.shareable
    assert len(memoryview(region.memory)) == 3 * BLOCK
    region.close()


def test_allocated_memory_that_is_dropped_leaves_no_descriptor() -> None:
    import os

    region = Region.allocated(BLOCK, BLOCK, close_s=5)
    assert region._sealed is not None
    descriptor = region._sealed.descriptor
    watched = os.fstat(descriptor).st_ino
    del region
    gc.collect()
    open_now = [entry.stat().st_ino for entry in os.scandir("/proc/self/fd") if entry.is_file()]
    assert watched not in open_now


def test_nothing_cannot_be_allocated() -> None:
    with pytest.raises(holdfast.InvalidArgument):
        Region.allocated(0, BLOCK, close_s=5)


def test_more_than_there_is_cannot_be_allocated() -> None:
    with pytest.raises((holdfast.Unavailable, holdfast.InvalidArgument)):
        Region.allocated(1 << 60, BLOCK, close_s=5)
