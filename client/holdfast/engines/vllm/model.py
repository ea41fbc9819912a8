"""What a VllmConfig says of the model and of block hashes, for both of vLLM's doors.

`Any` stands for vLLM's own classes: this module imports them only where their functions are asked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from holdfast.engines.checkpoint import (
    Checkpoint,
    rotates_by_length,
    told_digest,
    weights_named,
)
from holdfast.engines.checkpoint_settings import CheckpointSettings
from holdfast.engines.fingerprint import Fact, Facts
from holdfast.errors import ConfigInvalid, Unsupported


def name_of_weights(vllm_config: Any, settings: CheckpointSettings) -> Callable[[], str]:
    """Answers a function that names the weights, those of a draft model included.

    See `weights_named`: the function takes long, and both raise what it says.
    """
    load = vllm_config.load_config
    draft = getattr(vllm_config.speculative_config, "draft_model_config", None)
    return weights_named(
        settings,
        _checkpoint(vllm_config.model_config, load),
        [] if draft is None else [_checkpoint(draft, load)],
        str(load.load_format),
    )


def model_facts(vllm_config: Any, settings: CheckpointSettings) -> Facts:
    """What keys and values depend on, beside the weights."""
    model, cache = vllm_config.model_config, vllm_config.cache_config
    told = model.hf_config.to_dict()
    own = settings.weights_id or settings.weights or model.hf_config_path or model.hf_overrides
    return {
        "dtype": str(model.dtype).removeprefix("torch."),
        "cache_dtype": str(cache.cache_dtype),
        "cache_dtype_not_in": [
            str(layer) for layer in getattr(cache, "kv_cache_dtype_skip_layers", None) or []
        ],
        "quantization": _text(model.quantization),
        "quantization_settings": _text(getattr(model, "quantization_config", None)),
        "sliding_window": not model.disable_sliding_window,
        "positions": model.max_model_len if rotates_by_length(told) else None,
        # Elsewhere the configuration counts as it lies beside the weights: what the engine reads
        # out of it has defaults that change with the versions of its libraries.
        "config": told_digest(told) if own else None,
    }


def label_of(vllm_config: Any) -> str:
    """What a person reads in the name of a space. Not the model's name: engines may call one model
    by several, and share its blocks."""
    return str(vllm_config.model_config.hf_config.model_type)


def hash_facts(vllm_config: Any) -> Facts:
    """The scheme of the engine's block hashes. Raises ConfigInvalid for one that means nothing to
    any other process."""
    from vllm.utils.hashing import get_hash_fn_by_name
    from vllm.v1.core.kv_cache_utils import resolve_none_hash_seed

    algorithm = vllm_config.cache_config.prefix_caching_hash_algo
    return hash_scheme(algorithm, partial(resolve_none_hash_seed, get_hash_fn_by_name(algorithm)))


def hash_scheme(algorithm: str, seed: Callable[[], str]) -> dict[str, Fact]:
    """seed: answers what the engine would seed its hashes with. Raises ConfigInvalid if that
    differs from call to call: no other process would ever find a block then."""
    first = seed()
    if first != seed():
        raise ConfigInvalid(
            f"block hashes of this engine ({algorithm}) differ from process to process: set "
            "--prefix-caching-hash-algo sha256_cbor, or PYTHONHASHSEED to one value for all engines"
        )
    return {"hash": algorithm, "hash_seed": hashlib.sha256(first.encode()).hexdigest()[:32]}


def check_scales(vllm_config: Any) -> None:
    """Raises Unsupported for an engine whose blocks do not say what they mean."""
    if getattr(vllm_config.cache_config, "calculate_kv_scales", False):
        raise Unsupported(
            "scales of this KV cache are computed while serving and are not in its blocks: use "
            "scales of the checkpoint (no --calculate-kv-scales)"
        )


def _checkpoint(model: Any, load: Any) -> Checkpoint:
    # The weights of a model in an object store are named apart from its other files.
    return Checkpoint(
        getattr(model, "model_weights", "") or model.model, model.revision, load.download_dir
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, sort_keys=True, default=str)
