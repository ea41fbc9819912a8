"""Where the engine's KV tensors keep each block."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from holdfast._region import Region
from holdfast.engines.counters import Counters
from holdfast.engines.door import CLOSE_S
from holdfast.engines.vllm.cuda_device import CudaDevice
from holdfast.engines.vllm.device_memory import DeviceMemory
from holdfast.engines.vllm.kv_memory import HostMemory, KvMemory, Page, joined
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.tiles import tiled_bytes, tiles_of
from holdfast.errors import Unsupported


class KvTensors:
    """The tensors of one worker, by the allocations that they lie in."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], blocks: int) -> None:
        """tensors: of each layer, blocks outermost. blocks: that the engine counts.

        Raises Unsupported for tensors whose blocks cannot be told apart.
        """
        self._tensors = dict(tensors)
        self._blocks = blocks
        self._storages: list[torch.Tensor] = []
        self._numbers: dict[int, int] = {}
        self._pages = {name: self._page(name, tensor) for name, tensor in tensors.items()}

    def pages(self, layers: Sequence[str]) -> list[Page]:
        """The pages of `layers` in order; layers that share another's KV come once."""
        found = [self._pages[name] for name in layers if name in self._pages]
        return list(dict.fromkeys(found))

    def tensor(self, layer: str) -> torch.Tensor:
        """A layer's tensor, as the engine made it."""
        return self._tensors[layer]

    def __contains__(self, layer: str) -> bool:
        return layer in self._pages

    @property
    def on_host(self) -> bool:
        """Whether all of it lies in host memory."""
        return all(storage.device.type == "cpu" for storage in self._storages)

    def block(self, layer: str, number: int) -> list[torch.Tensor]:
        """The bytes of one block in one layer, uint8, as views of the engine's memory."""
        page = self._pages[layer]
        storage = self._storages[page.storage]
        begins = [
            page.base + number * page.stride + run * page.run_stride for run in range(page.runs)
        ]
        return [storage[begin : begin + page.run_bytes] for begin in begins]

    def memory(
        self,
        groups: Mapping[int, Sequence[str]],
        settings: VllmSettings,
        counters: Counters,
        log: logging.Logger,
    ) -> KvMemory:
        """Memory to move blocks of `groups` (layers by KV group) from and to.

        Raises Unsupported, with what to do, for memory that cannot be reached.
        """
        pages = {group: self.pages(names) for group, names in groups.items()}
        if not self.on_host:
            return self._device_memory(pages, settings, counters, log)
        regions = {
            number: Region.of_buffer(storage.numpy(), 1, CLOSE_S)
            for number, storage in enumerate(self._storages)
        }
        return HostMemory(regions, pages)

    def _device_memory(
        self,
        pages: Mapping[int, Sequence[Page]],
        settings: VllmSettings,
        counters: Counters,
        log: logging.Logger,
    ) -> DeviceMemory:
        places = {storage.device for storage in self._storages}
        if len(places) != 1 or next(iter(places)).type != "cuda":
            raise Unsupported(f"KV cache in memory of {', '.join(sorted(map(str, places)))}")
        index = next(iter(places)).index
        addresses = [storage.data_ptr() for storage in self._storages]
        tables = {group: tiles_of(joined(each), addresses) for group, each in pages.items()}
        device = CudaDevice(index, lambda: torch.cuda.current_stream(index).cuda_stream, tables)
        block_bytes = {group: tiled_bytes(tiles) for group, tiles in tables.items()}
        return DeviceMemory(device, block_bytes, self._blocks, settings, counters, log)

    def _page(self, name: str, tensor: Any) -> Page:
        if not isinstance(tensor, torch.Tensor):
            raise Unsupported(f"layer {name} keeps its KV in {type(tensor).__name__}")
        rows, odd = divmod(tensor.shape[0], self._blocks)
        if odd or rows < 1:
            raise Unsupported(f"layer {name} has {tensor.shape[0]} rows for {self._blocks} blocks")
        width = tensor.element_size()
        runs, run_stride, run = _stretches(name, tensor)
        stride = tensor.stride(0) * width
        if rows > 1:
            if runs != 1 or run * width != stride:
                raise Unsupported(f"layer {name} has {rows} rows a block that do not touch")
            run, stride = run * rows, stride * rows
        storage = self._storage(tensor)
        base = tensor.data_ptr() - self._storages[storage].data_ptr()
        return Page(storage, base, stride, run * width, runs, run_stride * width)

    def _storage(self, tensor: torch.Tensor) -> int:
        whole = tensor.untyped_storage()
        number = self._numbers.setdefault(whole.data_ptr(), len(self._storages))
        if number == len(self._storages):
            empty = torch.empty(0, dtype=torch.uint8, device=tensor.device)
            self._storages.append(empty.set_(whole))
        return number


def _stretches(name: str, tensor: torch.Tensor) -> tuple[int, int, int]:
    """Number, distance and length of the contiguous stretches of one row, elements."""
    axes = sorted(
        (stride, size)
        for stride, size in zip(tensor.stride()[1:], tensor.shape[1:], strict=True)
        if size > 1
    )
    length = 1
    while axes and axes[0][0] == length:
        length *= axes.pop(0)[1]
    if len(axes) > 1:
        raise Unsupported(
            f"layer {name} scatters its blocks: shape {tuple(tensor.shape)}, strides "
            f"{tensor.stride()}"
        )
    return (axes[0][1], axes[0][0], length) if axes else (1, 0, length)
