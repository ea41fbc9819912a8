"""Folders as models are kept in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def checkpoint(
    folder: Path, told: Mapping[str, Any] | None = None, weights: bytes = b"one"
) -> Path:
    """Makes a checkpoint in `folder` and answers that. told: its config.json; None: it has none."""
    folder.mkdir()
    (folder / "model-1.safetensors").write_bytes(weights)
    (folder / "model-2.safetensors").write_bytes(b"the rest")
    (folder / "tokenizer.json").write_text("{}")
    if told is not None:
        (folder / "config.json").write_text(json.dumps(told))
    return folder
