"""A fixed pattern through the engine's own cache operation: what its bytes really look like.

Tensors of equal shape and type can hold different bytes: kernels pack by instruction set, fp8
depends on scales. Who gets the same digest from the same pattern can read the other's blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from holdfast.engines.vllm.tensors import KvTensors
from holdfast.errors import Unsupported

_BLOCK = 1
"""Written into and restored before any request; the engine never uses block 0."""


def canary(
    tensors: KvTensors, layers: Sequence[str], modules: Any, block_tokens: int, dtype: torch.dtype
) -> str:
    """SHA-256 of one block of `layers` that holds the pattern, hexadecimal.

    modules: the engine's attention layers by name. dtype: of keys and values before they are
    stored. Raises Unsupported where the engine has no operation for it.
    """
    digest = hashlib.sha256()
    for name in layers:
        if name not in tensors:
            continue
        views = tensors.block(name, _BLOCK)
        before = [view.clone() for view in views]
        try:
            _write(modules[name], tensors.tensor(name), block_tokens, dtype)
            for view in views:
                digest.update(view.cpu().numpy().tobytes())
        except (AttributeError, KeyError, TypeError, RuntimeError) as error:
            raise Unsupported(
                f"layer {name} has no cache operation that can be tried: {error}"
            ) from error
        finally:
            for view, old in zip(views, before, strict=True):
                view.copy_(old)
    return digest.hexdigest()


def _write(layer: Any, cache: torch.Tensor, tokens: int, dtype: torch.dtype) -> None:
    slots = torch.arange(tokens, device=cache.device, dtype=torch.int64) + _BLOCK * tokens
    latent = getattr(layer, "kv_lora_rank", None)
    if latent is not None:
        content = _pattern((tokens, latent), 1, dtype, cache.device)
        rope = _pattern((tokens, 1, layer.qk_rope_head_dim), 2, dtype, cache.device)
        layer.impl.do_kv_cache_update(
            content, rope, cache, slots, layer.kv_cache_dtype, layer._k_scale
        )
        return
    value_size = getattr(layer, "head_size_v", None) or layer.head_size
    key = _pattern((tokens, layer.num_kv_heads, layer.head_size), 1, dtype, cache.device)
    value = _pattern((tokens, layer.num_kv_heads, value_size), 2, dtype, cache.device)
    layer.impl.do_kv_cache_update(layer, key, value, cache, slots)


def _pattern(
    shape: tuple[int, ...], seed: int, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Multiples of 1/64 below 2: exact in every type that keys and values have."""
    count = 1
    for size in shape:
        count *= size
    steps = torch.arange(count, dtype=torch.int64) * (36 + seed) % 255 - 127
    return (steps.to(torch.float32) / 64).reshape(shape).to(dtype).to(device)
