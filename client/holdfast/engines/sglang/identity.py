"""What the bytes of a page depend on, read from what SGLang tells a storage backend.

`Any` stands for SGLang's own classes: this module does not import them.
"""

from __future__ import annotations

import itertools
from typing import Any

from holdfast.engines.fingerprint import Fact, Facts
from holdfast.engines.sglang.page_layout import PageLayout

PAGE_FORM = 1
"""Version of how pieces of a page are joined to blocks; a change starts new spaces."""
_SIZES = ("head_num", "head_dim", "v_head_dim", "kv_lora_rank", "qk_rope_head_dim", "kv_cache_dim")
_STATE = "mamba"
"""Name of the pool whose pages are states: every rank has its own part, whatever the model is."""


def shard_facts(pool_name: str, pool: Any, config: Any) -> dict[str, Any]:
    """Which part of the model's KV a rank's pages hold. config: HiCacheStorageConfig.

    By what it holds, not by who holds it: ranks with equal bytes name equal shards, and neither
    data-parallel ranks nor addresses are in it. Layers and heads are counted in the whole model.
    """
    facts: dict[str, Any] = {
        "layers": [
            int(getattr(pool, "start_layer", 0) or 0),
            int(getattr(pool, "end_layer", 0) or 0),
            int(getattr(pool, "layer_num", 0) or 0),
        ]
    }
    heads = getattr(pool, "head_num", None)
    if is_replicated(pool_name, pool, config):
        facts["heads"] = "all"
    elif heads is not None:
        first = config.tp_rank * int(heads)
        facts["heads"] = [first, first + int(heads), config.tp_size * int(heads)]
    else:
        facts["part"] = [config.tp_rank, config.tp_size]
    if getattr(config, "attn_cp_size", 1) > 1:
        facts["context_part"] = [config.attn_cp_rank, config.attn_cp_size]
    return facts


def is_replicated(pool_name: str, pool: Any, config: Any) -> bool:
    """Whether every tensor-parallel rank's pages hold the same bytes."""
    return (
        bool(config.is_mla_model)
        and pool_name != _STATE
        and getattr(pool, "head_num", None) is None
    )


def is_writer(pool_name: str, pool: Any, config: Any) -> bool:
    """Whether this rank stores the pool's pages: of ranks with equal bytes, one does."""
    if not is_replicated(pool_name, pool, config):
        return True
    return bool(getattr(config, "is_storage_writer", config.tp_rank == 0))


def pool_facts(pool_name: str, pool: Any, layout: PageLayout, config: Any) -> Facts:
    """Everything but the weights."""
    sizes = itertools.groupby(piece.nbytes for piece in layout.pieces)
    pieces: list[list[Fact]] = [[size, len(list(run))] for size, run in sizes]
    return {
        "engine": "sglang",
        "page_form": PAGE_FORM,
        "pool": pool_name,
        "dtype": str(getattr(pool, "dtype", None)),
        "layout": str(getattr(pool, "layout", None)),
        "format": getattr(pool, "storage_format_tag", None),
        "page_tokens": layout.page_tokens,
        "pieces": pieces,
        **{name: int(getattr(pool, name)) for name in _SIZES if getattr(pool, name, None)},
        **shard_facts(pool_name, pool, config),
    }


def label_of(facts: Facts) -> str:
    """What a person reads in the space's name: "sglang.kv.l0-32.h0-4".

    Not the model's name: engines may call one model by several, and share its pages.
    """
    layers, heads = facts["layers"], facts.get("heads")
    assert isinstance(layers, list)
    parts = ["sglang", str(facts["pool"]), f"l{layers[0]}-{layers[1]}"]
    if isinstance(heads, list):
        parts.append(f"h{heads[0]}-{heads[1]}")
    return ".".join(parts)
