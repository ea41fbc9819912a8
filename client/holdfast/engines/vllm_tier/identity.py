"""What the bytes of a row depend on, read from the engine's configuration.

`Any` stands for vLLM's own classes: this module does not import them.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast.engines.fingerprint import Facts
from holdfast.engines.vllm_tier.settings import TierSettings
from holdfast.errors import ConfigInvalid

_UNTOLD = frozenset({"_name_or_path", "transformers_version"})
"""Of a checkpoint's config.json: where it came from and what wrote it."""
ROW_FORM = 1
"""Version of how this tier cuts rows into blocks; a change starts new spaces."""


def hash_facts(algorithm: str, seed: Callable[[], str]) -> Facts:
    """The scheme of the engine's block hashes.

    seed: answers what the engine would seed them with. Raises ConfigInvalid if that differs from
    call to call: no other process would ever find a block then.
    """
    first = seed()
    if first != seed():
        raise ConfigInvalid(
            f"block hashes of this engine ({algorithm}) differ from process to process: set "
            "--prefix-caching-hash-algo sha256_cbor, or PYTHONHASHSEED to one value for all engines"
        )
    return {"hash": algorithm, "hash_seed": first}


def row_facts(offloading: Any, canonical_format: str | None) -> Facts:
    """What a row holds. offloading: the engine's OffloadingConfig.

    Rows hold the parts of all ranks, one behind the other. Where the engine writes pages that do
    not depend on the ranks, or a single copy of what they share, ranks are no part of it; nor
    are replicas, engine ids and addresses anywhere.
    """
    parallel = offloading.parallel
    whole = offloading.replicated_layout or (
        canonical_format is not None and parallel.is_parallelism_agnostic
    )
    ranks = [parallel.tp_size, parallel.pp_size, parallel.pcp_size, parallel.dcp_size]
    return {
        "engine": "vllm",
        "row_form": ROW_FORM,
        "kv_dtype": offloading.model.dtype,
        "tokens_per_hash": offloading.cache.tokens_per_hash,
        "blocks_per_chunk": offloading.cache.blocks_per_chunk,
        "groups": [
            [group.group_id, group.tokens_per_block, *group.layer_names]
            for group in offloading.groups
        ],
        "layout": offloading.kv_cache_layout,
        "canonical": canonical_format,
        "ranks": "whole" if whole else ranks,
    }


def model_facts(engine: Any, settings: TierSettings) -> Facts:
    """What the values depend on, beside the weights. engine: its VllmConfig.

    Raises ConfigInvalid for what would change them without a trace in keys or blocks.
    """
    model = engine.model_config
    if getattr(engine.cache_config, "calculate_kv_scales", False):
        raise ConfigInvalid(
            "scales of this fp8 cache are computed while serving and are not in its blocks: use "
            "scales of the checkpoint (no --calculate-kv-scales)"
        )
    if engine.lora_config is not None and not settings.lora_named:
        raise ConfigInvalid(
            "this engine serves LoRA, whose blocks are known by name and path of the adapter: set "
            "lora_named if new weights always come under a new name or path"
        )
    facts: dict[str, Any] = {
        "dtype": str(model.dtype).removeprefix("torch."),
        "cache_dtype": engine.cache_config.cache_dtype,
        "cache_dtype_not_in": list(getattr(engine.cache_config, "kv_cache_dtype_skip_layers", [])),
        "quantization": _text(model.quantization),
        "quantization_settings": _text(getattr(model, "quantization_config", None)),
        "overrides": _text(model.hf_overrides),
        "attention": _text(getattr(engine.attention_config, "backend", None)),
        "runner": 2 if getattr(engine, "use_v2_model_runner", False) else 1,
    }
    if _rotates_by_length(model.hf_text_config):
        facts["positions"] = model.max_model_len
    return facts


def weights_named(
    engine: Any, settings: TierSettings, digest: Callable[[Path], str], folder: Callable[..., Path]
) -> Callable[[], str]:
    """Answers a function that names the weights, those of a draft model included; it may take
    long.

    digest: of the weights in a folder. folder: where the checkpoint lies that a model
    configuration names. Raises ConfigInvalid if it lies in none and the operator gave no name.
    """
    if settings.weights_id is not None:
        name = f"id:{settings.weights_id}"
        return lambda: name
    if str(engine.load_config.load_format) == "dummy":
        name = f"dummy:{engine.model_config.seed}"
        return lambda: name
    if getattr(engine.model_config, "model_weights", ""):
        raise ConfigInvalid(
            f"weights of {engine.model_config.model_weights} do not lie in a folder: name them "
            "with the tier's setting weights_id"
        )
    folders = [settings.weights or folder(engine.model_config)]
    draft = getattr(engine.speculative_config, "draft_model_config", None)
    if draft is not None and draft.model != engine.model_config.model:
        folders.append(folder(draft))
    return lambda: ",".join(f"{digest(where)}.{config_digest(where)}" for where in folders)


def config_digest(folder: Path) -> str:
    """SHA-256 of what a checkpoint says of its model: equal weights give other keys and values
    with other rotary embeddings, say. "none" where it says nothing."""
    path = folder / "config.json"
    if not path.is_file():
        return "none"
    told = json.loads(path.read_text())
    kept = {name: value for name, value in told.items() if name not in _UNTOLD}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    return json.dumps(value, sort_keys=True, default=str)


def _rotates_by_length(config: Any) -> bool:
    """Whether keys depend on the longest sequence: some forms of rotary embedding do."""
    rotary = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    return "longrope" in str(rotary) or "dynamic" in str(rotary)
