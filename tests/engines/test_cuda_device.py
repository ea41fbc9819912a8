"""CUDA behind the seam: how cupy is called, with the host in a GPU's place, and a real GPU."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from holdfast.engines.counters import Counters
from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.link import Link
from holdfast.engines.vllm.cuda_device import CudaDevice
from holdfast.engines.vllm.device_memory import DeviceMemory
from holdfast.engines.vllm.kv_memory import Page
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.staging import Staging
from holdfast.engines.vllm.step import Blocks
from holdfast.engines.vllm.tiles import Tiles, tiled_bytes, tiles_of
from holdfast.errors import Unsupported
from holdfast.local_cluster.waiting import wait_for
from tests.engines.host_cupy import HostCupy

LOG = logging.getLogger("tests.engines.cuda_device")
BLOCKS = 64
LAYERS = 2
PAGE_BYTES = 6_000
COMPUTE = 4711
"""Handle of the engine's stream."""
WAIT_S = 30.0


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> HostCupy:
    made = HostCupy()
    monkeypatch.setitem(sys.modules, "cupy", made)
    return made


@pytest.fixture
def staging() -> Iterator[Staging]:
    made = Staging(1 << 20, LAYERS * PAGE_BYTES, 64)
    yield made
    made.close()


def tiles_at(address: int) -> Tiles:
    layer = BLOCKS * PAGE_BYTES
    pages = [Page(0, number * layer, PAGE_BYTES, PAGE_BYTES) for number in range(LAYERS)]
    return tiles_of(pages, [address])


def test_blocks_go_out_and_back_in_one_kernel_each(cupy: HostCupy, staging: Staging) -> None:
    kv = np.random.default_rng(1).integers(0, 256, (LAYERS, BLOCKS, PAGE_BYTES), np.uint8)
    then = kv.copy()
    device = CudaDevice(3, lambda: COMPUTE, {7: tiles_at(kv.ctypes.data)})
    stream = device.stream(staging)
    cupy.calls.clear()
    stream.copy(7, [9, 4, 63], [2, 0, 5], device.mark(), into_pages=False)
    kv[:] = 0
    stream.copy(7, [10, 11, 0], [5, 2, 0], device.mark(), into_pages=True)
    stream.close()
    assert np.array_equal(kv[:, [10, 11, 0]], then[:, [63, 9, 4]])
    kv[:, [10, 11, 0]] = 0
    assert not kv.any()
    assert cupy.calls.count(("launch",)) == 2
    assert cupy.calls[-2] == ("unregister", staging.address)


def test_a_copy_stands_behind_the_engine_and_is_slept_for(cupy: HostCupy, staging: Staging) -> None:
    kv = np.zeros((LAYERS, BLOCKS, PAGE_BYTES), np.uint8)
    device = CudaDevice(3, lambda: COMPUTE, {0: tiles_at(kv.ctypes.data)})
    stream = device.stream(staging)
    assert ("register", staging.address, staging.nbytes, 3) in cupy.calls
    cupy.calls.clear()
    mark = device.mark()
    assert cupy.calls == [
        ("enter", "device", 3),
        ("record", mark.ptr, COMPUTE),
        ("exit", "device", 3),
    ]
    cupy.calls.clear()
    stream.copy(0, [1], [1], mark, into_pages=True)
    _, (_, _, own), waits, launches, (_, done, recorded_in), slept, *_ = cupy.calls
    assert waits == ("wait", mark.ptr, own)
    assert launches == ("launch",)
    assert recorded_in == own != COMPUTE
    assert slept == ("synchronize", done)


def test_a_machine_without_cupy_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(Unsupported, match="install cupy-cuda12x"):
        CudaDevice(0, lambda: COMPUTE, {})


def test_a_kernel_that_cannot_be_built_is_unsupported(cupy: HostCupy) -> None:
    cupy.build_error = RuntimeError("no libnvrtc.so.12")
    with pytest.raises(Unsupported, match=r"no libnvrtc\.so\.12"):
        CudaDevice(0, lambda: COMPUTE, {})


def test_memory_that_cannot_be_pinned_is_unsupported_with_the_setting(
    cupy: HostCupy, staging: Staging
) -> None:
    cupy.refuses_to_pin = True
    with pytest.raises(Unsupported, match="set staging_bytes lower"):
        CudaDevice(0, lambda: COMPUTE, {}).stream(staging)


@pytest.fixture
def gpu() -> Any:
    """The real cupy, where there is a GPU for it."""
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # of whatever is missing: cupy, a driver, a GPU
        pytest.skip(f"needs an NVIDIA GPU with its driver, and cupy: {error}")
    if not count:
        pytest.skip("needs an NVIDIA GPU: the driver knows of none")
    return cupy


@pytest.mark.process
def test_blocks_of_a_real_gpu_are_stored_and_loaded(gpu: Any, reach: dict[str, Any]) -> None:
    """The engine's stream is busy when the save is asked for, and writes the pages last."""
    compute = gpu.cuda.Stream(non_blocking=True)
    then = np.random.default_rng(2).integers(1, 256, (LAYERS, BLOCKS, PAGE_BYTES), np.uint8)
    with compute:
        kv = gpu.zeros(then.shape, np.uint8)
        source = gpu.asarray(then)
        work = gpu.random.random((4_096, 4_096), dtype=np.float32)
    compute.synchronize()
    tiles = tiles_at(kv.data.ptr)
    settings = VllmSettings.of({**reach, "staging_bytes": 2 << 20})
    link = Link(settings, Counters(), LOG)
    facts = Fingerprint({"test": "real gpu", "time": time.time_ns()})
    door = link.open("gpu", facts, tiled_bytes(tiles))
    device = CudaDevice(0, lambda: int(compute.ptr), {0: tiles})
    memory = DeviceMemory(device, {0: tiled_bytes(tiles)}, BLOCKS, settings, Counters(), LOG)
    wait_for("the space", lambda: door.ready, WAIT_S)
    ids = np.random.default_rng(3).permutation(BLOCKS).tolist()
    blocks = Blocks(0, tuple(b"%d" % number for number in ids), tuple(ids), 0)

    with compute:
        for _ in range(20):
            work = work @ work
        kv[:] = source
    assert memory.save(door, blocks).outcome().good.all()
    with compute:
        kv[:] = 0
    moved = Blocks(0, blocks.keys, tuple(BLOCKS - 1 - number for number in ids), 0)
    assert memory.load(door, moved).outcome().good.all()
    with compute:
        found = gpu.asnumpy(kv)
    assert np.array_equal(found[:, ::-1], then)
    link.close()
    memory.close()
