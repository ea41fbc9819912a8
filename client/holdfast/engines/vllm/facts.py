"""What the bytes of this engine's KV depend on, besides where they lie."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from holdfast.engines.fingerprint import Facts
from holdfast.engines.vllm.kv_memory import KvMemory
from holdfast.engines.vllm.layout import Layout
from holdfast.engines.vllm.model import hash_facts, label_of, model_facts, name_of_weights
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.shard import Shard
from holdfast.engines.vllm.tensors import KvTensors

_LAYER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")


def engine_facts(vllm_config: Any, layout: Layout, settings: VllmSettings) -> Facts:
    """Facts that every shard stands on. Reads all weights once: takes its time.

    Raises ConfigInvalid if the weights cannot be told, and what `name_of_weights` says.
    """
    return {
        "engine": "vllm",
        "weights": name_of_weights(vllm_config, settings)(),
        **model_facts(vllm_config, settings),
        **hash_facts(vllm_config),
        "hash_tokens": layout.hash_tokens,
    }


def shard_of(
    group: int,
    layers: list[str],
    vllm_config: Any,
    layout: Layout,
    tensors: KvTensors,
    memory: KvMemory,
    specs: Sequence[Any],
    rank: int,
    canary: str,
) -> Shard:
    """What the worker of tensor-parallel `rank` holds of `group`.

    specs: the engine's, of its layers. canary: see `canary.canary`.
    """
    spec = specs[0]
    size = vllm_config.parallel_config.tensor_parallel_size
    is_state = layout.groups[group].kind == "state"
    # States are divided evenly, whatever their layers call the parts.
    total = size if is_state else vllm_config.model_config.get_total_num_kv_heads()
    parts = min(size, _parts(spec, total))
    replicas = size // parts
    part = rank // replicas
    first, end = part * total // parts, (part + 1) * total // parts
    held = [name for name in layers if name in tensors]
    numbers = [int(found.group(1)) for name in held if (found := _LAYER.search(name))]
    span = f"l{min(numbers)}-{max(numbers)}" if numbers else f"{len(held)}-layers"
    facts: Facts = {
        "layers": hashlib.sha256("\n".join(held).encode()).hexdigest()[:32],
        "span": span,
        "heads": [first, end, total],
        "spec": type(spec).__name__,
        "kv_dtype": _states(specs) if is_state else _kv_dtype(spec, vllm_config),
        "block_tokens": layout.groups[group].block_tokens,
        "canary": canary[:32],
    }
    label = f"{label_of(vllm_config)}.{span}.h{first}-{end - 1}"
    return Shard(group, label, facts, memory.block_bytes(group), rank % replicas == 0)


def _parts(spec: Any, heads: int) -> int:
    """Into how many different shards tensor parallelism can split the KV of a layer."""
    known = getattr(spec, "max_tp_shards", None)
    if known is not None:
        return int(known)
    latent = "MLA" in type(spec).__name__
    return 1 if latent or getattr(spec, "tp_replicated", False) else heads


def _kv_dtype(spec: Any, vllm_config: Any) -> str:
    return f"{spec.dtype}/{vllm_config.cache_config.cache_dtype}"


def _states(specs: Sequence[Any]) -> str:
    """Digest of each layer's kind of state, and of its arrays' shapes and types in their order."""
    told = [
        f"{spec.mamba_type.name}/{list(zip(spec.shapes, spec.dtypes, strict=True))}"
        for spec in specs
    ]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]
