"""CUDA behind the seam of `device.Device`, by cupy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.engines.vllm.device import BLOCKS_MAX
from holdfast.engines.vllm.staging import Staging
from holdfast.engines.vllm.tiles import Tiles
from holdfast.errors import Unsupported

_SOURCE = Path(__file__).with_name("paged_copy.cu")
_THREADS = 256
_THREAD_BLOCKS = 16
"""With tiles of 2 KiB, 256 KiB on their way: fills the bus, and leaves most processors alone."""
_MOVES = np.dtype([("block", np.int32, (BLOCKS_MAX,)), ("slot", np.int32, (BLOCKS_MAX,))])
"""As `Moves` in paged_copy.cu."""
_PORTABLE_AND_MAPPED = 3


class CudaDevice:
    """One GPU. The engine's own stream is never touched but to record an event in it.

    Not used while the engine captures its graphs: that is over before its first request.
    """

    def __init__(
        self, index: int, compute_stream: Callable[[], int], tables: Mapping[int, Tiles]
    ) -> None:
        """index: the GPU's number in this process. compute_stream: answers the handle of the
        stream that the engine's thread gives its work to. tables: by KV group.

        Raises Unsupported, with what to do, where cupy is missing or cannot build the kernel.
        """
        self.cupy = _cupy()
        self.index = index
        self._compute_stream = compute_stream
        try:
            with self.cupy.cuda.Device(index):
                module = self.cupy.RawModule(code=_SOURCE.read_text(), options=("--std=c++14",))
                self.kernel = module.get_function("paged_copy")
                self.tables = {
                    group: self.cupy.asarray(tiles.view(np.int64))
                    for group, tiles in tables.items()
                }
                self.cupy.cuda.get_current_stream().synchronize()
        except Exception as error:  # its own trees of errors: compiler, driver, runtime, loader
            raise Unsupported(
                f"KV cache in GPU memory, and cupy cannot build what copies it: {error}"
            ) from error
        self.tiles = {group: len(tiles) for group, tiles in tables.items()}

    def mark(self) -> Any:
        """An event behind everything in the engine's stream."""
        cuda = self.cupy.cuda
        with cuda.Device(self.index):
            event = self.event()
            cuda.runtime.eventRecord(event.ptr, self._compute_stream())
        return event

    def event(self) -> Any:
        """An event that a thread sleeps for."""
        return self.cupy.cuda.Event(block=True, disable_timing=True)

    def stream(self, staging: Staging) -> CudaStream:
        """Raises Unsupported for memory that cannot be pinned."""
        return CudaStream(self, staging)


class CudaStream:
    """A non-blocking stream of one GPU, and the staging memory that it pins."""

    def __init__(self, device: CudaDevice, staging: Staging) -> None:
        self._device = device
        self._staging = staging
        cuda = device.cupy.cuda
        with cuda.Device(device.index):
            try:
                self._stream = cuda.Stream(non_blocking=True)
                cuda.runtime.hostRegister(staging.address, staging.nbytes, _PORTABLE_AND_MAPPED)
                self._address = cuda.runtime.pointerGetAttributes(staging.address).devicePointer
            except cuda.runtime.CUDARuntimeError as error:
                raise Unsupported(
                    f"staging of {staging.nbytes} bytes cannot be pinned ({error}): set "
                    "staging_bytes lower, or raise this process's limit of locked memory"
                ) from error

    def copy(
        self,
        group: int,
        ids: Sequence[int],
        slots: Sequence[int],
        after: Any,
        *,
        into_pages: bool,
    ) -> None:
        """See `DeviceStream.copy`. One kernel; this thread sleeps until it has ended."""
        device = self._device
        moves = np.zeros(1, _MOVES)
        moves["block"][0, : len(ids)] = ids
        moves["slot"][0, : len(slots)] = slots
        arguments = (
            device.tables[group],
            np.int32(device.tiles[group]),
            moves,
            np.int32(len(ids)),
            np.int64(self._address),
            np.int64(self._staging.slot_bytes),
            np.int32(into_pages),
        )
        with device.cupy.cuda.Device(device.index), self._stream:
            self._stream.wait_event(after)
            device.kernel((_THREAD_BLOCKS,), (_THREADS,), arguments)
            done = device.event()
            done.record(self._stream)
            done.synchronize()

    def close(self) -> None:
        """Lets the memory be pageable again."""
        with self._device.cupy.cuda.Device(self._device.index):
            self._device.cupy.cuda.runtime.hostUnregister(self._staging.address)


def _cupy() -> Any:
    try:
        import cupy
    except ImportError as error:
        raise Unsupported(
            "the KV cache lies in GPU memory, and cupy, which copies it, is missing: install "
            "cupy-cuda12x (cupy-cuda13x for CUDA 13) into the engine's environment"
        ) from error
    return cupy
