"""SGLang's caches on the CPU: its controller, its threads and its host pools, without a model.

Reads a line of JSON at a time and answers each with one. `open` makes caches under a name; further
requests name them: `store` and `fetch` of pages with known bytes, `clear`, `counters`, `close`.
Each name is one rank of one engine; several may be open at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sglang.srt.mem_cache.allocator import PagedTokenToKVPoolAllocator
from sglang.srt.mem_cache.base_prefix_cache import CacheRequestHandle
from sglang.srt.mem_cache.hicache_storage import PoolHitPolicy, PoolName, PoolTransfer
from sglang.srt.mem_cache.hybrid_cache.hybrid_cache_controller import HybridCacheController
from sglang.srt.mem_cache.hybrid_cache.hybrid_pool_assembler import build_pool_entry
from sglang.srt.mem_cache.memory_pool import MHATokenToKVPool, MLATokenToKVPool
from sglang.srt.mem_cache.pool_host import HostPoolGroup
from sglang.srt.mem_cache.pool_host.base import host_memory_budget_scope
from sglang.srt.mem_cache.pool_host.mha import get_mha_host_pool_cls
from sglang.srt.mem_cache.pool_host.mla import MLATokenToKVPoolHost
from sglang.srt.mem_cache.utils import get_storage_hash_str
from sglang.srt.runtime_context import get_context, get_parallel

RESULT = "HOLDFAST_RESULT "
PAGE = 16
"""Tokens."""
TOKENS = 64 * PAGE
"""Of the device pool; the host's has twice as many."""
LAYERS = 3
HOST_BYTES_MAX = 64 << 20
"""Of one host pool. By itself SGLang wants 10 GiB of memory left over."""
WINDOW_PAGES = 2
"""Pages that the sliding-window pool must have at the end of a prefix."""
ANSWER_S = 60.0


@dataclass
class Cache:
    """One rank's caches."""

    group: HostPoolGroup
    controller: HybridCacheController

    @property
    def kv(self) -> Any:
        """The main host pool."""
        return self.group.anchor_entry.host_pool

    @property
    def window(self) -> Any:
        """The sliding-window pool; None without one."""
        entry = self.group.entry_map.get(PoolName.SWA)
        return entry and entry.host_pool


def open_cache(asked: dict[str, Any]) -> Cache:
    """asked: kind ("mha", "mla" or "hybrid"), layout, rank, ranks, model, config."""
    rank, ranks = asked.get("rank", 0), asked.get("ranks", 1)
    override = get_context().override_server_args(
        model_path=asked["model"],
        tp_size=ranks,
        hicache_mem_layout=asked["layout"],
        hicache_ratio=2.0,
        hicache_size=0,
    )
    override.install()
    places = {"tp_rank": rank, "pp_rank": 0, "attn_tp_rank": rank, "attn_dp_rank": 0}
    with get_parallel().override(**places, attn_dcp_rank=0):
        pools = [device_pool(asked["kind"])]
        if asked["kind"] == "hybrid":
            pools.append(device_pool("mha"))
        names = [PoolName.KV, PoolName.SWA]
        group = HostPoolGroup(
            [
                entry_of(name, pool, asked["layout"])
                for name, pool in zip(names, pools, strict=False)
            ]
        )
        allocator = PagedTokenToKVPoolAllocator(
            TOKENS, PAGE, torch.bfloat16, "cpu", pools[0], need_sort=False
        )
        controller = HybridCacheController(
            allocator,
            group,
            PAGE,
            torch.distributed.group.WORLD,
            threading.Event(),
            write_policy="write_through",
            io_backend="direct",
            storage_backend="dynamic",
            prefetch_threshold=PAGE,
            model_name=asked["model"],
            storage_backend_extra_config=dict(asked["config"]),
            transfer_layer_id_max=LAYERS,
            enable_storage_metrics=True,
        )
    return Cache(group, controller)


def device_pool(kind: str) -> Any:
    """A small device pool on the CPU."""
    common = {"dtype": torch.bfloat16, "layer_num": LAYERS, "device": "cpu"}
    if kind == "mla":
        return MLATokenToKVPool(
            TOKENS,
            PAGE,
            kv_lora_rank=64,
            qk_rope_head_dim=16,
            enable_memory_saver=False,
            **common,
        )
    return MHATokenToKVPool(
        TOKENS, PAGE, head_num=2, head_dim=32, enable_memory_saver=False, **common
    )


def entry_of(name: PoolName, pool: Any, layout: str) -> Any:
    """Its host pool, as SGLang's server makes it, but in memory that no GPU has pinned."""
    info = pool.get_device_pool_infos()[0].buffer_info
    kinds: dict[str, Any] = {}
    if isinstance(pool, MLATokenToKVPool):
        kind: Any = MLATokenToKVPoolHost
        kinds["target_layer_num"] = pool.layer_num
    else:
        kind = get_mha_host_pool_cls(info)
    with host_memory_budget_scope(HOST_BYTES_MAX):
        host = kind(
            info,
            host_to_device_ratio=2.0,
            host_size=0,
            page_size=PAGE,
            layout=layout,
            pin_memory=False,
            device_capacity_tokens=pool.size,
            start_layer=pool.start_layer,
            end_layer=pool.end_layer,
            pool_label=name.value,
            **kinds,
        )
    return build_pool_entry(
        name=name,
        host_pool=host,
        device_pool=pool,
        layer_mapping={layer: layer for layer in range(LAYERS)},
        transfer_layer_id_max=LAYERS,
        is_anchor=name is PoolName.KV,
    )


def tokens_of(prompt: int, pages: int) -> list[int]:
    """Token ids that no other prompt begins with."""
    return [prompt * 10_000 + place for place in range(pages * PAGE)]


def fill(pool: Any, slots: torch.Tensor, seed: str) -> list[str]:
    """Writes known bytes into pages of a host pool; answers their digests."""
    for number, slot in enumerate(slots[::PAGE].tolist()):
        flat = pool.get_data_page(slot, flat=True)
        text = hashlib.shake_256(f"{seed}/{number}".encode()).digest(flat.nbytes)
        known = torch.frombuffer(bytearray(text), dtype=torch.uint8).view(flat.dtype)
        pool.set_from_flat_data_page(slot, known)
    return digests(pool, slots)


def wipe(pool: Any, slots: torch.Tensor) -> None:
    """Overwrites pages, so that bytes left over from earlier do not look like a load."""
    for slot in slots[::PAGE].tolist():
        pool.set_from_flat_data_page(slot, torch.zeros_like(pool.get_data_page(slot, flat=True)))


def digests(pool: Any, slots: torch.Tensor) -> list[str]:
    """SHA-256 of each page."""
    pages = [pool.get_data_page(slot, flat=True) for slot in slots[::PAGE].tolist()]
    return [hashlib.sha256(page.view(torch.uint8).numpy().tobytes()).hexdigest() for page in pages]


def store(cache: Cache, prompt: int, pages: int, seed: str) -> dict[str, Any]:
    """Fills pages and lets SGLang's backup thread store them, a window's last ones too."""
    tokens = tokens_of(prompt, pages)
    keys = get_storage_hash_str(tokens, None, page_size=PAGE)
    slots = cache.kv.alloc(pages * PAGE)
    told: dict[str, Any] = {"pages": fill(cache.kv, slots, seed)}
    extra = []
    if cache.window is not None:
        extra = [window_transfer(cache, keys)]
        told["window"] = fill(cache.window, extra[0].host_indices, f"window of {seed}")
    began = time.monotonic()
    cache.controller.write_storage(slots, tokens, keys, prefix_keys=[], extra_pools=extra or None)
    operation = cache.controller.ack_backup_queue.get(timeout=ANSWER_S)
    told["seconds"] = time.monotonic() - began
    told["tokens"] = operation.completed_tokens
    release(cache, slots, extra)
    return told


def fetch(cache: Cache, prompt: int, pages: int) -> dict[str, Any]:
    """Lets SGLang's prefetch threads look a prompt up and load what there is of it."""
    tokens = tokens_of(prompt, pages)
    keys = get_storage_hash_str(tokens, None, page_size=PAGE)
    extra = [window_transfer(cache, keys)] if cache.window is not None else []
    handle = CacheRequestHandle(f"prompt-{prompt}", 0)
    began = time.monotonic()
    cache.controller.prefetch(handle, tokens, None, prefix_keys=[], extra_pools=extra or None)
    operation = cache.controller.prefetch_hit_queue.get(timeout=ANSWER_S)
    told: dict[str, Any] = {"hit": operation.storage_hit_count, "loaded": 0, "pages": []}
    slots = cache.kv.alloc(operation.storage_hit_count)
    if operation.storage_hit_count:
        wipe(cache.kv, slots)
        operation.host_indices = slots
        cache.controller.prefetch_buffer.put(operation)
        ended = False
        while not ended:
            ack = cache.controller.ack_prefetch_queue.get(timeout=ANSWER_S)
            told["loaded"] = max(told["loaded"], ack.completed_tokens or 0)
            told["window_hits"] = (ack.pool_hits or {}).get(PoolName.SWA.value, 0) or told.get(
                "window_hits", 0
            )
            ended = bool(ack.completed_req)
        told["pages"] = digests(cache.kv, slots[: told["loaded"]])
    told["seconds"] = time.monotonic() - began
    if extra:
        told["window"] = digests(cache.window, extra[0].host_indices)
    release(cache, slots, extra)
    return told


def window_transfer(cache: Cache, keys: Sequence[str]) -> PoolTransfer:
    """The pages that a sliding window needs at the end of a prefix."""
    slots = cache.window.alloc(WINDOW_PAGES * PAGE)
    wipe(cache.window, slots)
    return PoolTransfer(
        PoolName.SWA,
        host_indices=slots,
        keys=list(keys[-WINDOW_PAGES:]),
        hit_policy=PoolHitPolicy.TRAILING_PAGES,
    )


def release(cache: Cache, slots: torch.Tensor, extra: Sequence[PoolTransfer]) -> None:
    """Gives host memory back."""
    cache.kv.free(slots)
    for transfer in extra:
        cache.window.free(transfer.host_indices)


def answer(caches: dict[str, Cache], asked: dict[str, Any]) -> Any:
    """What one request answers."""
    do = asked.pop("do")
    if do == "open":
        name = asked.pop("name")
        caches[name] = open_cache(asked)
        return {"skips_backup": caches[name].controller.backup_skip}
    cache = caches[asked.pop("name")]
    if do == "store":
        return store(cache, **asked)
    if do == "fetch":
        return fetch(cache, **asked)
    if do == "clear":
        return cache.controller.clear_storage_backend()
    backend = cache.controller.storage_backend
    if do == "counters":
        metrics = backend.get_stats()
        return {
            **backend.backend.counters.totals(),
            "prefetched": sum(metrics.prefetch_pgs),
            "backed_up": sum(metrics.backup_pgs),
        }
    assert do == "close"
    threads = [cache.controller.prefetch_thread, cache.controller.backup_thread]
    alive = all(thread.is_alive() for thread in threads)
    cache.controller.detach_storage_backend()
    return {"threads_alive": alive}


def main() -> None:
    """Answers until there is nothing more to read."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/group", rank=0, world_size=1
        )
        caches: dict[str, Cache] = {}
        for line in sys.stdin:
            print(RESULT + json.dumps(answer(caches, json.loads(line))), flush=True)
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
