"""The model that engines are measured with: made from a seed, so that it is the same everywhere."""

from __future__ import annotations

from pathlib import Path

from tests.engines.real.tiny_model import Shape, make_model

SEED = 2026
DTYPE = "float32"
SHAPE = Shape(layers=16, hidden=512)
KV_BYTES_PER_TOKEN = SHAPE.kv_bytes_per_token(item_bytes=4)


def make(path: Path) -> Path:
    """Writes the model into the folder `path`."""
    return make_model(path, seed=SEED, layers=SHAPE.layers, hidden=SHAPE.hidden, dtype=DTYPE)


def facts() -> dict[str, object]:
    """What a reader of the figures must know of it."""
    return {
        "made_by": "tests/engines/real/tiny_model.py",
        "seed": SEED,
        "layers": SHAPE.layers,
        "hidden": SHAPE.hidden,
        "heads": SHAPE.heads,
        "kv_heads": SHAPE.kv_heads,
        "dtype": DTYPE,
        "kv_bytes_per_token": KV_BYTES_PER_TOKEN,
    }
