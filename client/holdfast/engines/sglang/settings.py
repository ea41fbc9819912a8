"""What an operator can set in `--hicache-storage-backend-extra-config`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from holdfast.engines.settings import EngineSettings

_ENGINE_OWN = frozenset(
    {
        *("backend_name", "module_path", "class_name", "allocator", "tp_lcm_size"),
        *("prefetch_threshold", "prefetch_timeout_base", "prefetch_timeout_per_ki_token"),
        "hicache_storage_pass_prefix_keys",
    }
)
"""Entries that SGLang reads itself."""


class SglangSettings(EngineSettings):
    """Settings of every engine's door, and those of this one."""

    interface_v1: Literal[1, True]
    """SGLang then hands out places in its host memory; without it, it copies every page."""
    weights: Path | None = None
    """Folder of the checkpoint, to digest; None: where the engine found its model."""
    weights_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Stands for the weights instead of a digest: the operator's word that equal ids are equal
    weights. For checkpoints that do not lie in a folder."""
    lora_named: bool = False
    """Whether the name and path of a LoRA stand for its weights. Otherwise an engine that serves
    LoRA is refused: it names adapters to a storage backend in no other way."""
    start_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 2_000
    """How long the first calls wait for a space to open; after that they are misses."""

    @classmethod
    def of_extra_config(cls, extra_config: Mapping[str, Any] | None) -> SglangSettings:
        """Reads what SGLang passes on, without its own entries. Raises ConfigInvalid that names
        every setting that is wrong."""
        given = {
            key: value for key, value in (extra_config or {}).items() if key not in _ENGINE_OWN
        }
        settings = cls.of(given)
        assert isinstance(settings, cls)
        return settings
