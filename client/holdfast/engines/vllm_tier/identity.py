"""What the bytes of a row depend on beside the model, read from the engine's configuration.

`Any` stands for vLLM's own classes: this module does not import them.
"""

from __future__ import annotations

from typing import Any

from holdfast.engines.fingerprint import Facts

ROW_FORM = 1
"""Version of how this tier cuts rows into blocks; a change starts new spaces."""


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


def kernel_facts(engine: Any) -> Facts:
    """What makes an engine write pages of equal shape in another way. engine: its VllmConfig."""
    return {
        "attention": getattr(getattr(engine.attention_config, "backend", None), "name", None),
        "runner": 2 if getattr(engine, "use_v2_model_runner", False) else 1,
    }
