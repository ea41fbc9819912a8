"""Host pools as SGLang builds them, of arrays instead of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LAYOUTS = ("layer_first", "page_first", "page_first_direct")
Array = npt.NDArray[np.unsignedinteger[Any]]


class HostTensor:
    """What Holdfast uses of a tensor."""

    def __init__(self, array: Array, storage: Array | None = None, device: str = "cpu") -> None:
        self.array = array
        self.device = device
        self._storage = array if storage is None else storage

    def data_ptr(self) -> int:
        return int(self.array.__array_interface__["data"][0])

    def numel(self) -> int:
        return self.array.size

    def element_size(self) -> int:
        return self.array.itemsize

    def is_contiguous(self) -> bool:
        return self.array.flags.c_contiguous

    def untyped_storage(self) -> HostStorage:
        return HostStorage(self._storage)


@dataclass
class HostStorage:
    """What Holdfast uses of a tensor's storage."""

    array: Array

    def data_ptr(self) -> int:
        return int(self.array.__array_interface__["data"][0])

    def nbytes(self) -> int:
        return self.array.nbytes


class Pool:
    """Pages of `planes` tensors side by side, in one of SGLang's layouts.

    planes: widths of a token in one layer, elements: (heads * dim,) * 2 for K and V, one width for
    MLA. one_storage: whether they lie one behind the other in one storage, as K and V do.
    """

    def __init__(
        self,
        layout: str,
        widths: tuple[int, ...],
        *,
        pages: int = 6,
        page_size: int = 4,
        layers: int = 3,
        one_storage: bool = True,
        seed: int = 0,
        **attributes: Any,
    ) -> None:
        self.layout = layout
        self.page_size = page_size
        self.size = self.logical_size = pages * page_size
        self.layer_num, self.start_layer, self.end_layer = layers, 0, layers
        self.dtype = "torch.bfloat16"
        self.shared_allocation_domain: object | None = None
        self.dcp_size = 1
        self._widths = widths
        sizes = [self.size * layers * width for width in widths]
        elements = np.random.default_rng(seed).integers(0, 1 << 16, sum(sizes), np.uint16)
        cuts = np.split(elements, np.cumsum(sizes)[:-1])
        parts = cuts if one_storage else [cut.copy() for cut in cuts]
        self.planes = [part.reshape(self._dims(w)) for part, w in zip(parts, widths, strict=True)]
        self._storages = [elements if one_storage else plane for plane in self.planes]
        self.kv_buffer: Any = self.get_hybrid_pool_buffer()
        for name, value in attributes.items():
            setattr(self, name, value)

    def _dims(self, width: int) -> tuple[int, ...]:
        pages = self.size // self.page_size
        return {
            "layer_first": (self.layer_num, self.size, width),
            "page_first": (self.size, self.layer_num, width),
            "page_first_direct": (pages, self.layer_num, self.page_size, width),
        }[self.layout]

    def get_hybrid_pool_buffer(self) -> list[HostTensor]:
        return [
            HostTensor(plane, storage)
            for plane, storage in zip(self.planes, self._storages, strict=True)
        ]

    def page(self, number: int) -> list[Array]:
        """Views of what page `number` consists of, one for each plane."""
        slots = slice(number * self.page_size, (number + 1) * self.page_size)
        place = {"layer_first": (slice(None), slots), "page_first": (slots,)}
        return [plane[place.get(self.layout, (number,))] for plane in self.planes]

    def page_bytes(self, number: int) -> bytes:
        """The page as SGLang flattens it."""
        return b"".join(part.tobytes() for part in self.page(number))

    def wipe(self) -> None:
        """Overwrites everything."""
        for plane in self.planes:
            plane[:] = 0

    def slots(self, numbers: list[int]) -> npt.NDArray[np.int64]:
        """The token slots of pages."""
        first = np.array(numbers, np.int64)[:, None] * self.page_size
        return (first + np.arange(self.page_size)).reshape(-1)

    def get_page_buffer_meta(self, indices: Any) -> tuple[list[int], list[int]]:
        """Addresses and sizes, in the order in which SGLang tells them."""
        addresses, sizes = [], []
        for slot in indices.tolist()[:: self.page_size]:
            for layer in range(self.layer_num if self.layout == "layer_first" else 1):
                for plane, width in zip(self.planes, self._widths, strict=True):
                    token = width * plane.itemsize
                    base = int(plane.__array_interface__["data"][0])
                    if self.layout == "layer_first":
                        addresses.append(base + (layer * self.size + slot) * token)
                        sizes.append(self.page_size * token)
                    else:
                        addresses.append(base + slot * self.layer_num * token)
                        sizes.append(self.page_size * self.layer_num * token)
        return addresses, sizes


def mha_pool(layout: str = "page_first", **more: Any) -> Pool:
    """K and V of four heads, one behind the other in one storage."""
    return Pool(layout, (32, 32), **{"head_num": 4, "head_dim": 8, "v_head_dim": 8, **more})


def mla_pool(layout: str = "page_first", **more: Any) -> Pool:
    """Latents that every rank holds."""
    return Pool(layout, (24,), **{"kv_lora_rank": 16, "qk_rope_head_dim": 8, **more})


def uneven_pool(layout: str = "page_first", **more: Any) -> Pool:
    """K and V of different widths, in storages of their own."""
    attributes = {"head_num": 4, "head_dim": 8, "v_head_dim": 5, **more}
    return Pool(layout, (32, 20), one_storage=False, **attributes)


@dataclass
class Config:
    """What Holdfast uses of HiCacheStorageConfig."""

    tp_rank: int = 0
    tp_size: int = 1
    attn_cp_rank: int = 0
    attn_cp_size: int = 1
    is_mla_model: bool = False
    model_name: str | None = "some/model"

    @property
    def is_storage_writer(self) -> bool:
        return not self.is_mla_model or self.tp_rank == 0
