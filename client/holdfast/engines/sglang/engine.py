"""What a running SGLang says of itself beside what it tells its storage backend."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from holdfast.engines.checkpoint import Checkpoint, weights_named
from holdfast.engines.fingerprint import Facts
from holdfast.engines.sglang.settings import SglangSettings

_MODEL = ("kv_cache_dtype", "dtype", "quantization", "quantization_param_path", "qsa_indexer_dtype",
          "json_model_override_args")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Engine:
    """Settings of the engine that change the bytes, as it runs; empty where it tells none."""

    model: Mapping[str, Any]
    """Names of `--model-path` and the like, with their values in effect."""
    draft_model_path: str | None = None
    """Of speculative decoding."""
    draft_revision: str | None = None
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


def name_of_weights(
    engine: Engine, model_name: str | None, settings: SglangSettings
) -> Callable[[], str]:
    """Answers a function that names the weights, those of a draft model included.

    model_name: what the storage backend is told, for an engine that does not say more. See
    `weights_named`: the function takes long, and both raise what it says.
    """
    model = Checkpoint(
        engine.model.get("model_path") or model_name or "a model without a name",
        engine.model.get("revision"),
    )
    drafts = []
    if engine.draft_model_path:
        drafts.append(Checkpoint(engine.draft_model_path, engine.draft_revision))
    told = engine.model.get("load_format")
    return weights_named(
        settings,
        model,
        drafts,
        None if told is None else str(told),
        engine.model.get("context_length"),
    )
