"""What an operator can set for doors behind an engine's own cache in host memory."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from holdfast.engines.checkpoint_settings import CheckpointSettings
from holdfast.errors import ConfigInvalid


class HostCacheSettings(CheckpointSettings):
    """Settings of doors that an engine hands what falls out of its host memory. It tells them
    keys and bytes only."""

    lora_named: bool = False
    """Whether the name and path of a LoRA stand for its weights. Otherwise an engine that serves
    LoRA is refused: it names adapters to these doors in no other way."""
    start_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 2_000
    """How long the first calls wait for a space to open; after that they are misses."""

    def check_adapters(self, *, serves_lora: bool) -> None:
        """Raises ConfigInvalid where adapters would change the bytes without a trace in keys."""
        if serves_lora and not self.lora_named:
            raise ConfigInvalid(
                "this engine serves LoRA, whose blocks are known by name and path of the adapter: "
                "set lora_named if new weights always come under a new name or path"
            )
