"""What this connector makes of the engine's configuration, or why it stays out of the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vllm.v1.core.kv_cache_utils import resolve_kv_cache_block_sizes
from vllm.v1.kv_cache_interface import (
    ChunkedLocalAttentionSpec,
    FullAttentionSpec,
    MambaSpec,
    SlidingWindowSpec,
    iter_layer_specs,
    kv_cache_uses_per_token_head_scales,
)

from holdfast.engines.vllm.groups import KvGroup
from holdfast.engines.vllm.model import check_scales, hash_facts
from holdfast.errors import Unsupported


@dataclass(frozen=True, slots=True)
class Layout:
    """The engine's KV groups and the lengths that its prefixes come in."""

    groups: tuple[KvGroup, ...]
    align: int
    """Tokens of which hits are whole multiples."""
    hash_tokens: int
    """Tokens of one block hash."""


def layout_of(vllm_config: Any, kv_cache_config: Any) -> Layout:
    """The layout of a `VllmConfig` and its `KVCacheConfig`.

    Raises Unsupported for an engine whose KV cannot be kept outside, and ConfigInvalid for one
    whose block hashes mean nothing to any other process.
    """
    hash_facts(vllm_config)
    check_scales(vllm_config)
    _check_engine(vllm_config)
    kinds = [_group(number, group) for number, group in enumerate(kv_cache_config.kv_cache_groups)]
    apart = set(range(len(kinds))) - set(kv_cache_config.prefix_cacheable_group_ids)
    if apart or not kinds:
        raise Unsupported(f"KV groups {sorted(apart)} are not named by the hash of their prefix")
    align, hash_tokens = resolve_kv_cache_block_sizes(kv_cache_config, vllm_config)
    if any(group.block_tokens % hash_tokens for group in kinds):
        sizes = [group.block_tokens for group in kinds]
        raise Unsupported(f"blocks of {sizes} tokens are no multiples of a hash's {hash_tokens}")
    return Layout(tuple(kinds), align, hash_tokens)


def _check_engine(vllm_config: Any) -> None:
    parallel = vllm_config.parallel_config
    speculative = vllm_config.speculative_config
    cache = vllm_config.cache_config
    refused = {
        "context parallelism spreads the tokens of a block over ranks": (
            parallel.decode_context_parallel_size > 1 or parallel.prefill_context_parallel_size > 1
        ),
        "a draft model that shares the KV cache writes into blocks after they are full": (
            speculative is not None and speculative.use_eagle()
        ),
        "sleep mode takes the KV cache away without a word to connectors": (
            vllm_config.model_config.enable_sleep_mode
        ),
        f"kv_cache_dtype={cache.cache_dtype} keeps its scales outside of the blocks": (
            kv_cache_uses_per_token_head_scales(cache.cache_dtype)
        ),
    }
    for why, holds in refused.items():
        if holds:
            raise Unsupported(why)


def _state_group(number: int, tokens: int, specs: Sequence[Any]) -> KvGroup:
    if any(spec.mamba_cache_mode != "align" for spec in specs):
        raise Unsupported(
            f"recurrent states (KV group {number}) are kept at the ends of blocks only with "
            "--enable-prefix-caching, which sets --mamba-cache-mode align"
        )
    if any(spec.num_speculative_blocks for spec in specs):
        raise Unsupported(f"states of KV group {number} are kept for tokens that may be taken back")
    return KvGroup(number, tokens, "state")


def _group(number: int, group: Any) -> KvGroup:
    specs: Sequence[Any] = tuple(iter_layer_specs(group.kv_cache_spec))
    if not specs or any(spec.prefix_replay_tokens for spec in specs):
        raise Unsupported(f"KV group {number} replays the end of a prefix")
    tokens = group.kv_cache_spec.block_size
    if all(isinstance(spec, FullAttentionSpec) for spec in specs):
        return KvGroup(number, tokens)
    if all(isinstance(spec, MambaSpec) for spec in specs):
        return _state_group(number, tokens, specs)
    for kind, spec_class, reach in (
        ("window", SlidingWindowSpec, "sliding_window"),
        ("chunk", ChunkedLocalAttentionSpec, "attention_chunk_size"),
    ):
        reaches = {getattr(spec, reach, None) for spec in specs}
        if len(reaches) == 1 and all(isinstance(spec, spec_class) for spec in specs):
            return KvGroup(number, tokens, kind, reaches.pop())  # type: ignore[arg-type]
    names = sorted({type(spec).__name__ for spec in specs})
    raise Unsupported(f"KV group {number} of {', '.join(names)} is of a kind not known here")
