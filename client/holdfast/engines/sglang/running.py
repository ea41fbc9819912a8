"""Reads the running engine's settings from SGLang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sglang.srt.runtime_context import get_lora, get_model, get_serving, get_spec

from holdfast.engines.sglang.engine import Engine, WeightsInUse

_NAMES = ("model_path", "revision", "kv_cache_dtype", "dtype", "quantization", "load_format",
          "quantization_param_path", "qsa_indexer_dtype", "json_model_override_args",
          "context_length")  # fmt: skip


def running_engine() -> Engine:
    """What it says; nothing outside of a server, where none of it is published."""
    draft = _value(get_spec, "speculative_draft_model_path")
    return Engine(
        model={name: _value(get_model, name) for name in _NAMES},
        draft_model_path=str(draft) if draft else None,
        draft_revision=_value(get_spec, "speculative_draft_model_revision"),
        serves_lora=bool(_value(get_lora, "enable_lora") or _value(get_lora, "lora_paths")),
    )


def weights_in_use() -> WeightsInUse:
    """Cheap enough to ask before every call."""
    return WeightsInUse(_value(get_model, "model_path"), _value(get_serving, "weight_version"))


def _value(bag: Callable[[], Any], name: str) -> Any:
    try:
        return getattr(bag(), name, None)
    except (AttributeError, RuntimeError, ValueError):
        return None
