"""What the bytes of this engine's KV depend on, besides where they lie."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from holdfast.engines.fingerprint import Facts
from holdfast.engines.vllm.kv_memory import KvMemory
from holdfast.engines.vllm.layout import Layout
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.shard import Shard
from holdfast.engines.vllm.tensors import KvTensors
from holdfast.engines.weights import weights_digest
from holdfast.errors import ConfigInvalid

_COSMETIC = frozenset({"_name_or_path", "transformers_version", "torch_dtype", "dtype"})
_LAYER = re.compile(r"(?:^|\.)(\d+)(?:\.|$)")
_FILES = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")


def engine_facts(vllm_config: Any, layout: Layout, settings: VllmSettings) -> Facts:
    """Facts that every shard stands on. Reads all weights once: takes its time.

    Raises ConfigInvalid if the weights cannot be told, NotFound and OSError if not read.
    """
    from vllm.utils.hashing import get_hash_fn_by_name
    from vllm.v1.core.kv_cache_utils import resolve_none_hash_seed

    model = vllm_config.model_config
    hash_name = vllm_config.cache_config.prefix_caching_hash_algo
    seed = resolve_none_hash_seed(get_hash_fn_by_name(hash_name))
    return {
        "engine": "vllm",
        "weights": _weights(vllm_config, settings),
        "model": _model(model),
        "dtype": str(model.dtype),
        "quantization": str(model.quantization),
        "sliding_window": not model.disable_sliding_window,
        "hash": hash_name,
        "hash_seed": hashlib.sha256(seed.encode()).hexdigest()[:32],
        "hash_tokens": layout.hash_tokens,
    }


def shard_of(
    group: int,
    layers: list[str],
    vllm_config: Any,
    layout: Layout,
    tensors: KvTensors,
    memory: KvMemory,
    spec: Any,
    rank: int,
    canary: str,
) -> Shard:
    """What the worker of tensor-parallel `rank` holds of `group`.

    spec: the engine's, of one layer. canary: see `canary.canary`.
    """
    total = vllm_config.model_config.get_total_num_kv_heads()
    size = vllm_config.parallel_config.tensor_parallel_size
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
        "kv_dtype": f"{spec.dtype}/{vllm_config.cache_config.cache_dtype}",
        "block_tokens": layout.groups[group].block_tokens,
        "canary": canary[:32],
    }
    label = f"{vllm_config.model_config.hf_config.model_type}.{span}.h{first}-{end - 1}"
    return Shard(group, label, facts, memory.block_bytes(group), rank % replicas == 0)


def _parts(spec: Any, heads: int) -> int:
    """Into how many different shards tensor parallelism can split the KV of a layer."""
    known = getattr(spec, "max_tp_shards", None)
    if known is not None:
        return int(known)
    latent = "MLA" in type(spec).__name__
    return 1 if latent else heads


def _model(model: Any) -> str:
    told = {
        name: value for name, value in model.hf_config.to_dict().items() if name not in _COSMETIC
    }
    if "longrope" in json.dumps(told, default=str):
        told["max_model_len"] = model.max_model_len  # chooses the factors of this rope
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _weights(vllm_config: Any, settings: VllmSettings) -> str:
    if settings.weights_digest is not None:
        return f"stated:{settings.weights_digest}"
    if settings.weights is not None:
        return weights_digest(settings.weights)
    model = vllm_config.model_config
    load = vllm_config.load_config
    if load.load_format == "dummy":
        raise ConfigInvalid(
            "weights of load_format=dummy have no files to tell them by: set weights_digest"
        )
    path = Path(model.model)
    return weights_digest(path if path.exists() else _downloaded(model, load))


def _downloaded(model: Any, load: Any) -> Path:
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                model.model,
                revision=model.revision,
                cache_dir=load.download_dir,
                local_files_only=True,
                allow_patterns=list(_FILES),
            )
        )
    except Exception as error:  # its own tree of errors, not all of one class
        raise ConfigInvalid(
            f"the files of {model.model} were not found ({error}): set weights to the folder of "
            "the checkpoint, or weights_digest"
        ) from error
