"""SGLang's side of the storage backend: its interface in terms of our own classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sglang.srt.mem_cache.hicache_storage import (
    HiCacheStorage,
    HiCacheStorageConfig,
    HiCacheStorageExtraInfo,
    PoolTransfer,
    PoolTransferResult,
)
from sglang.srt.observability.metrics_collector import StorageMetrics

from holdfast.engines.sglang.backend import Backend, Transfer
from holdfast.engines.sglang.page_layout import Numbers
from holdfast.engines.sglang.running import running_engine, weights_in_use
from holdfast.engines.sglang.settings import SglangSettings

_KV = "kv"


class HoldfastStorage(HiCacheStorage):
    """Keeps in a Holdfast cluster what SGLang's host memory holds and loses.

    Loaded by `--hicache-storage-backend dynamic`; entries of its configuration beside SGLang's own
    are `SglangSettings`. SGLang calls it on threads of its own, which may wait; no call takes
    longer than its deadline, and none raises. Raises ConfigInvalid at start for settings that are
    wrong and for engines whose pages could not be told apart by their keys.
    """

    def __init__(
        self, storage_config: HiCacheStorageConfig, options: dict[str, Any] | None = None
    ) -> None:
        self.backend = Backend(
            SglangSettings.of_extra_config(storage_config.extra_config),
            storage_config,
            running_engine(),
            weights_in_use,
            logging.getLogger("sglang.holdfast"),
        )
        self._metrics_wanted = bool(storage_config.enable_storage_metrics)

    # ------------------------------------------------------------------------ pools

    def register_mem_pool_host(self, mem_pool_host: Any) -> None:
        """See HiCacheStorage."""
        super().register_mem_pool_host(mem_pool_host)
        self.backend.add_pool(_KV, mem_pool_host, torch.from_numpy)

    def register_mem_host_pool_v2(self, host_pool: Any, host_pool_name: Any) -> None:
        """See HiCacheStorage."""
        super().register_mem_host_pool_v2(host_pool, host_pool_name)
        if str(host_pool_name) != _KV:  # registered above
            self.backend.add_pool(str(host_pool_name), host_pool, torch.from_numpy)

    # ------------------------------------------------------------------------ pages of the KV pool

    def batch_exists(
        self, keys: list[str], extra_info: HiCacheStorageExtraInfo | None = None
    ) -> int:
        """See HiCacheStorage."""
        return self.backend.reach(keys, []).pages

    def batch_get_v1(
        self,
        keys: list[str],
        host_indices: torch.Tensor,
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> list[bool]:
        """See HiCacheStorage."""
        return self.backend.load(_KV, keys, _numbers(host_indices))

    def batch_set_v1(
        self,
        keys: list[str],
        host_indices: torch.Tensor,
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> list[bool]:
        """See HiCacheStorage."""
        return self.backend.save(_KV, keys, _numbers(host_indices), _position(extra_info))

    # ------------------------------------------------------------------------ several pools

    def batch_exists_v2(
        self,
        keys: list[str],
        pool_transfers: list[PoolTransfer] | None = None,
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> PoolTransferResult:
        """See HiCacheStorage."""
        reach = self.backend.reach(keys, [_transfer(each) for each in pool_transfers or []])
        return PoolTransferResult(reach.pages, reach.by_pool, reach.restorable)

    def batch_get_v2(
        self,
        transfers: list[PoolTransfer],
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> dict[Any, list[bool]]:
        """See HiCacheStorage."""
        return {
            each.name: self.backend.load(
                str(each.name), each.keys or [], _numbers(each.host_indices)
            )
            for each in transfers
        }

    def batch_set_v2(
        self,
        transfers: list[PoolTransfer],
        extra_info: HiCacheStorageExtraInfo | None = None,
    ) -> dict[Any, list[bool]]:
        """See HiCacheStorage."""
        first = _position(extra_info)
        return {
            each.name: self.backend.save(
                str(each.name), each.keys or [], _numbers(each.host_indices), first
            )
            for each in transfers
        }

    # ------------------------------------------------------------------------ single flat pages

    def exists(self, key: str) -> bool:
        """See HiCacheStorage."""
        return self.backend.reach([key], []).pages == 1

    def get(
        self, key: str, target_location: Any = None, target_sizes: Any = None
    ) -> torch.Tensor | None:
        """Reads a page into the flat tensor `target_location`; None if it is not to be had."""
        return target_location if self.backend.load_flat(key, target_location) else None

    def batch_get(
        self, keys: list[str], target_locations: Any = None, target_sizes: Any = None
    ) -> list[torch.Tensor | None]:
        """`get`, one after the other, up to the first that is not to be had."""
        found: list[torch.Tensor | None] = [None] * len(keys)
        for number, (key, place) in enumerate(zip(keys, target_locations or [], strict=False)):
            found[number] = self.get(key, place)
            if found[number] is None:
                break
        return found

    def set(
        self, key: str, value: Any = None, target_location: Any = None, target_sizes: Any = None
    ) -> bool:
        """Stores a page out of the flat tensor `value`."""
        return self.backend.save_flat(key, value)

    def batch_set(
        self,
        keys: list[str],
        values: Any = None,
        target_locations: Any = None,
        target_sizes: Any = None,
    ) -> bool:
        """`set`, one after the other, up to the first that is not kept."""
        pairs = zip(keys, values or [], strict=False)
        return bool(values) and all(self.set(key, value) for key, value in pairs)

    # ------------------------------------------------------------------------ the rest

    def clear(self) -> None:
        """Drops every stored page of this model's spaces, for every engine that uses them."""
        self.backend.clear()

    def get_stats(self) -> StorageMetrics | None:
        """Sizes and speeds of transfers for SGLang's own metrics."""
        if not self._metrics_wanted:
            return None
        loads, load_speeds, saves, save_speeds = self.backend.take_speeds()
        return StorageMetrics(loads, saves, load_speeds, save_speeds)

    def close(self) -> None:
        """Ends calls under way, lets the pools' memory go and leaves the cluster."""
        self.backend.close()


def _numbers(indices: torch.Tensor | None) -> Numbers:
    if indices is None:
        return np.zeros(0, np.int64)
    numbers: Numbers = indices.detach().cpu().numpy().astype(np.int64, copy=False)
    return numbers


def _position(extra_info: HiCacheStorageExtraInfo | None) -> int:
    return len(extra_info.prefix_keys or ()) if extra_info is not None else 0


def _transfer(told: PoolTransfer) -> Transfer:
    keys: Sequence[str] = told.keys or ()
    return Transfer(str(told.name), told.hit_policy.value, len(keys))
