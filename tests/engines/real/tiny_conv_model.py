"""A small LFM2 with random weights: every second layer keeps a recurrent state instead of KV.

The state of its convolutions is the last two tokens' inputs, next to nothing; that it is a state,
which lives in one block and is overwritten, is what matters here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.engines.real.tiny_model import (
    HEAD_DIM,
    POSITIONS,
    VOCABULARY,
    Floats,
    Shape,
    random_matrix,
    write_safetensors,
)

_TAPS = 3
"""Tokens that a convolution sees."""
_KEY_SCALE = 2.0
"""Queries and keys are normalised; at this scale each head looks at few tokens."""
_LOGIT_SCALE = 3.0
_BRANCH_SCALE = 8.0
"""Else the head, which is the embedding too, would repeat the last token for ever."""


def make_conv_model(path: Path, *, seed: int = 0, layers: int = 4, hidden: int = 256) -> Path:
    """Writes config.json and model.safetensors, in float32, into `path`; see `make_model`."""
    shape = Shape(layers, hidden)
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(_config(shape), indent=2) + "\n")
    write_safetensors(path / "model.safetensors", dict(_weights(shape, seed)), "float32")
    return path


def _is_conv(layer: int) -> bool:
    return layer % 2 == 0


def _config(shape: Shape) -> dict[str, object]:
    return {
        "architectures": ["Lfm2ForCausalLM"],
        "model_type": "lfm2",
        "dtype": "float32",
        "vocab_size": VOCABULARY,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "block_dim": shape.hidden,
        "block_ff_dim": shape.intermediate,
        "block_auto_adjust_ff_dim": False,
        "block_multiple_of": HEAD_DIM,
        "block_ffn_dim_multiplier": 1.0,
        "conv_dim": shape.hidden,
        "conv_dim_out": shape.hidden,
        "conv_L_cache": _TAPS,
        "conv_bias": False,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "layer_types": [
            "conv" if _is_conv(layer) else "full_attention" for layer in range(shape.layers)
        ],
        "max_position_embeddings": POSITIONS,
        "norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "tie_embedding": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }


def _weights(shape: Shape, seed: int) -> Iterator[tuple[str, Floats]]:
    random = np.random.default_rng(seed)
    hidden, wide = shape.hidden, shape.intermediate
    ones = np.ones(hidden, np.float32)
    yield "model.embed_tokens.weight", random.standard_normal((VOCABULARY, hidden), np.float32)
    for layer in range(shape.layers):
        name = f"model.layers.{layer}"
        yield f"{name}.operator_norm.weight", ones
        if _is_conv(layer):
            yield f"{name}.conv.in_proj.weight", random_matrix(random, 3 * hidden, hidden, 0.7)
            taps = random.standard_normal((hidden, 1, _TAPS), np.float32) * np.float32(0.6)
            yield f"{name}.conv.conv.weight", taps
            yield (
                f"{name}.conv.out_proj.weight",
                random_matrix(random, hidden, hidden, _BRANCH_SCALE),
            )
        else:
            yield from _attention(shape, random, f"{name}.self_attn")
        yield f"{name}.ffn_norm.weight", ones
        yield f"{name}.feed_forward.w1.weight", random_matrix(random, wide, hidden, 1.0)
        yield f"{name}.feed_forward.w3.weight", random_matrix(random, wide, hidden, 1.0)
        yield f"{name}.feed_forward.w2.weight", random_matrix(random, hidden, wide, 1.0)
    # The embedding is the head too.
    yield "model.embedding_norm.weight", ones * np.float32(_LOGIT_SCALE / hidden**0.5)


def _attention(
    shape: Shape, random: np.random.Generator, name: str
) -> Iterator[tuple[str, Floats]]:
    inner, kv = shape.heads * HEAD_DIM, shape.kv_heads * HEAD_DIM
    scale = np.full(HEAD_DIM, _KEY_SCALE, np.float32)
    yield f"{name}.q_proj.weight", random_matrix(random, inner, shape.hidden, 1.0)
    yield f"{name}.k_proj.weight", random_matrix(random, kv, shape.hidden, 1.0)
    yield f"{name}.v_proj.weight", random_matrix(random, kv, shape.hidden, 1.0)
    yield f"{name}.out_proj.weight", random_matrix(random, shape.hidden, inner, _BRANCH_SCALE)
    yield f"{name}.q_layernorm.weight", scale
    yield f"{name}.k_layernorm.weight", scale
