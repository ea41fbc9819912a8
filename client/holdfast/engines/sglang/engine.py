"""What a running SGLang says of itself beside what it tells its storage backend."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.engines.fingerprint import Facts
from holdfast.engines.sglang.settings import SglangSettings
from holdfast.errors import ConfigInvalid

_UNTOLD = frozenset({"_name_or_path", "transformers_version"})
"""Of a checkpoint's config.json: where it came from and what wrote it."""
_CONFIGS = ("config.json", "hf_quant_config.json")
_MODEL = ("kv_cache_dtype", "dtype", "quantization", "quantization_param_path", "qsa_indexer_dtype",
          "json_model_override_args")  # fmt: skip
_BY_LENGTH = ("longrope", "dynamic")
"""Forms of rotary embedding under which keys depend on the longest sequence."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Settings of the engine that change the bytes, as it runs; empty where it tells none."""

    model: Mapping[str, Any]
    """Names of `--model-path` and the like, with their values in effect."""
    draft_model_path: str | None = None
    """Of speculative decoding."""
    serves_lora: bool = False
    """Whether requests may name an adapter."""

    @property
    def facts(self) -> Facts:
        """For the fingerprint."""
        told = {name: self.model.get(name) for name in _MODEL}
        return {"engine_settings": json.dumps(told, sort_keys=True, default=str)}


@dataclass(frozen=True, slots=True)
class WeightsInUse:
    """Which weights the engine computes with; it can change them while it runs."""

    model_path: str | None
    version: str | None


def check_servable(engine: Engine, settings: SglangSettings) -> None:
    """Raises ConfigInvalid for what changes the bytes without a trace in keys or spaces."""
    if engine.serves_lora and not settings.lora_named:
        raise ConfigInvalid(
            "this engine serves LoRA, whose pages are known by name and path of the adapter: set "
            "lora_named if new weights always come under a new name or path"
        )


def weights_named(
    engine: Engine,
    model_name: str | None,
    settings: SglangSettings,
    digest: Callable[[Path], str],
    folder: Callable[[str], Path | None],
) -> Callable[[], str]:
    """Answers a function that names the weights, those of a draft model included; it may take
    long.

    digest: of the weights in a folder. folder: where the checkpoint lies that has this name, if it
    is on this machine. Raises ConfigInvalid if it lies nowhere and the operator gave no name.
    """
    if settings.weights_id is not None:
        name = f"id:{settings.weights_id}"
        return lambda: name
    if engine.model.get("load_format") == "dummy":
        raise ConfigInvalid(
            "weights of this engine are made up (--load-format dummy), they are in no folder: name "
            "them with the setting weights_id"
        )
    places = [settings.weights or _first(folder, engine.model.get("model_path"), model_name)]
    if engine.draft_model_path and engine.draft_model_path != engine.model.get("model_path"):
        places.append(_first(folder, engine.draft_model_path))
    length = engine.model.get("context_length")
    return lambda: ",".join(f"{digest(place)}.{config_digest(place, length)}" for place in places)


def config_digest(place: Path, context_length: int | None = None) -> str:
    """SHA-256 of what a checkpoint says of its model: equal weights give other keys and values
    with other rotary embeddings, say. "none" where it says nothing.

    context_length: tokens, as the operator set it; counts where keys depend on it.
    """
    paths = [place / name for name in _CONFIGS if (place / name).is_file()]
    if not paths:
        return "none"
    told = {path.name: _told(path) for path in paths}
    text = json.dumps(told, sort_keys=True)
    if any(form in text for form in _BY_LENGTH):
        text += f" {context_length}"
    return hashlib.sha256(text.encode()).hexdigest()


def _told(path: Path) -> dict[str, Any]:
    told = json.loads(path.read_text())
    return {name: value for name, value in told.items() if name not in _UNTOLD}


def _first(folder: Callable[[str], Path | None], *names: str | None) -> Path:
    for name in names:
        found = folder(name) if name else None
        if found is not None:
            return found
    raise ConfigInvalid(
        f"weights of {' or '.join(name for name in names if name) or 'this model'} do not lie in "
        "a folder here: name it with the setting weights, or the weights with weights_id"
    )
