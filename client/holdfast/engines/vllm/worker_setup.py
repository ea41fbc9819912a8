"""Puts a worker's side together from what the engine hands over."""

from __future__ import annotations

from typing import Any

import torch
from vllm.distributed import get_tensor_model_parallel_rank
from vllm.v1.kv_cache_interface import iter_layer_specs

from holdfast.engines.link import Link
from holdfast.engines.vllm.canary import canary
from holdfast.engines.vllm.facts import shard_of
from holdfast.engines.vllm.kv_memory import KvMemory
from holdfast.engines.vllm.layout import Layout
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.shard import Shard
from holdfast.engines.vllm.tensors import KvTensors
from holdfast.engines.vllm.worker_side import WorkerSide
from holdfast.errors import Unsupported


def worker_of(
    vllm_config: Any,
    kv_cache_config: Any,
    layout: Layout,
    link: Link,
    settings: VllmSettings,
    kv_caches: dict[str, torch.Tensor],
) -> tuple[WorkerSide, list[Shard]]:
    """This worker's side, and what it holds of each KV group that has layers here.

    Raises Unsupported for memory or cache operations that this connector cannot handle.
    """
    tensors = KvTensors(kv_caches, kv_cache_config.num_blocks)
    layers = {
        number: names
        for number, group in enumerate(kv_cache_config.kv_cache_groups)
        if (names := [name for name in group.layer_names if name in tensors])
    }
    memory = tensors.memory(layers, settings, link.counters, link.log)
    try:
        shards = _shards(vllm_config, kv_cache_config, layout, tensors, layers, memory)
    except Unsupported:
        memory.close()
        raise
    return WorkerSide(link, memory, shards), shards


def _shards(
    vllm_config: Any,
    kv_cache_config: Any,
    layout: Layout,
    tensors: KvTensors,
    layers: dict[int, list[str]],
    memory: KvMemory,
) -> list[Shard]:
    modules = vllm_config.compilation_config.static_forward_context
    rank = get_tensor_model_parallel_rank()
    shards = []
    for number, names in layers.items():
        specs = list(iter_layer_specs(kv_cache_config.kv_cache_groups[number].kv_cache_spec))
        group = layout.groups[number]
        pattern = ""  # states are plain arrays, told by their shapes and types
        if group.kind != "state":
            dtype = vllm_config.model_config.dtype
            pattern = canary(tensors, names, modules, group.block_tokens, dtype)
        shards.append(
            shard_of(number, names, vllm_config, layout, tensors, memory, specs, rank, pattern)
        )
    return shards
