"""A small Llama with random weights whose tokens depend on all of the context.

Random weights of the usual scale hardly attend to anything: wrong KV would not show. Here queries
and keys are scaled so that each head looks at few tokens, anywhere, and attention outweighs the
token's own embedding: through the layers nearly every token of the context matters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

HEAD_DIM = 64
VOCABULARY = 1024
POSITIONS = 16_384
FULL_EVERY = 3
"""With a sliding window every third layer attends to the whole context."""
_LOGIT_SCALE = 3.0
_BYTES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model consists of."""

    layers: int
    hidden: int

    @property
    def heads(self) -> int:
        """Query heads."""
        return self.hidden // HEAD_DIM

    @property
    def kv_heads(self) -> int:
        """Key and value heads: half as many, at least one."""
        return max(1, self.heads // 2)

    @property
    def intermediate(self) -> int:
        """Width between the halves of a layer's second part."""
        return 2 * self.hidden

    def kv_bytes_per_token(self, item_bytes: int) -> int:
        """Keys and values of one token over all layers, bytes."""
        return self.layers * 2 * self.kv_heads * HEAD_DIM * item_bytes


def make_model(
    path: Path,
    *,
    seed: int = 0,
    layers: int = 4,
    hidden: int = 256,
    sliding_window: int | None = None,
    dtype: str = "float32",
) -> Path:
    """Writes config.json and model.safetensors into `path`; there is no tokenizer.

    seed: of the weights; equal arguments give equal bytes. hidden: a multiple of 64.
    sliding_window: tokens that two of three layers look back; None: every layer sees all.
    dtype: "float32", "bfloat16" or "float16", of the weights and of the computation.
    """
    if hidden % HEAD_DIM:
        raise ValueError(f"hidden is {hidden}, it must be a multiple of {HEAD_DIM}")
    shape = Shape(layers, hidden)
    path.mkdir(parents=True, exist_ok=True)
    config = _config(shape, sliding_window, dtype)
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_safetensors(path / "model.safetensors", dict(_weights(shape, seed)), dtype)
    return path


def prompt(seed: int, tokens: int) -> list[int]:
    """`tokens` random token ids; equal arguments give equal ids."""
    return [int(token) for token in np.random.default_rng(seed).integers(1, VOCABULARY, tokens)]


def _config(shape: Shape, sliding_window: int | None, dtype: str) -> dict[str, object]:
    config: dict[str, object] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": dtype,
        "vocab_size": VOCABULARY,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10_000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    if sliding_window is not None:
        config["sliding_window"] = sliding_window
        config["layer_types"] = [
            "full_attention" if layer % FULL_EVERY == FULL_EVERY - 1 else "sliding_attention"
            for layer in range(shape.layers)
        ]
    return config


def random_matrix(random: np.random.Generator, out: int, width: int, scale: float) -> Floats:
    """[out, width]: gives values of standard deviation `scale` for inputs of deviation one."""
    drawn = random.standard_normal((out, width), dtype=np.float32)
    return drawn * np.float32(scale / width**0.5)


def _weights(shape: Shape, seed: int) -> Iterator[tuple[str, Floats]]:
    random = np.random.default_rng(seed)
    hidden, inner = shape.hidden, shape.heads * HEAD_DIM
    kv, wide = shape.kv_heads * HEAD_DIM, shape.intermediate
    matrix = partial(random_matrix, random)

    yield "model.embed_tokens.weight", random.standard_normal((VOCABULARY, hidden), np.float32)
    for layer in range(shape.layers):
        name = f"model.layers.{layer}"
        yield f"{name}.input_layernorm.weight", np.ones(hidden, np.float32)
        yield f"{name}.self_attn.q_proj.weight", matrix(inner, hidden, 2.0)
        yield f"{name}.self_attn.k_proj.weight", matrix(kv, hidden, 2.0)
        yield f"{name}.self_attn.v_proj.weight", matrix(kv, hidden, 1.0)
        yield f"{name}.self_attn.o_proj.weight", matrix(hidden, inner, 2.0)
        yield f"{name}.post_attention_layernorm.weight", np.ones(hidden, np.float32)
        yield f"{name}.mlp.gate_proj.weight", matrix(wide, hidden, 1.0)
        yield f"{name}.mlp.up_proj.weight", matrix(wide, hidden, 1.0)
        yield f"{name}.mlp.down_proj.weight", matrix(hidden, wide, 1.0)
    yield "model.norm.weight", np.ones(hidden, np.float32)
    yield "lm_head.weight", matrix(VOCABULARY, hidden, _LOGIT_SCALE)


def write_safetensors(path: Path, tensors: dict[str, Floats], dtype: str) -> None:
    """The format is a length, a JSON header of that length, and the tensors one by one."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    parts: list[bytes] = []
    place = 0
    for name, values in tensors.items():
        data = _encoded(values, dtype)
        header[name] = {
            "dtype": _BYTES[dtype],
            "shape": list(values.shape),
            "data_offsets": [place, place + len(data)],
        }
        parts.append(data)
        place += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(b"".join((len(text).to_bytes(8, "little"), text, *parts)))


def _encoded(values: Floats, dtype: str) -> bytes:
    if dtype == "bfloat16":
        bits = np.ascontiguousarray(values).view(np.uint32)
        # To the nearest, ties to even: the upper half of the bits.
        rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        return (rounded >> np.uint32(16)).astype("<u2").tobytes()
    return values.astype("<f4" if dtype == "float32" else "<f2").tobytes()


if __name__ == "__main__":
    print(make_model(Path(sys.argv[1])))
