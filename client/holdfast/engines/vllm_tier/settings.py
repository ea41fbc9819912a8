"""What an operator can set for the secondary tier, in its entry of `secondary_tiers`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from holdfast.engines.settings import EngineSettings, Milliseconds

Bytes = Annotated[int, Field(ge=1 << 20, le=1 << 40)]


class TierSettings(EngineSettings):
    """Settings of every engine's door, and those of the tier."""

    weights: Path | None = None
    """Folder of the checkpoint, to digest; None: where the engine found its model."""
    weights_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Stands for the weights instead of a digest: the operator's word that equal ids are equal
    weights. For checkpoints that do not lie in a folder."""
    lora_named: bool = False
    """Whether the name and path of a LoRA stand for its weights. Otherwise an engine that serves
    LoRA is refused: it names adapters to a tier in no other way."""
    lookup_keys_max: Annotated[int, Field(ge=1_024, le=1 << 24)] = 131_072
    """Answers that are remembered, some 200 bytes each."""
    lookup_life_ms: Milliseconds = 5_000
    """How long an answer also holds for requests that come later."""
    save_bytes_max: Bytes = 1 << 30
    """Bytes on their way to the cluster at once, never more than half of the primary tier; what
    does not fit is not stored."""
    load_bytes_max: Bytes = 1 << 30
    """Bytes on their way from the cluster at once; what does not fit waits."""
    start_wait_ms: Annotated[int, Field(ge=0, le=60_000)] = 2_000
    """How long the first requests wait for the space to open; after that they are misses."""
    keep_on_reset: bool = False
    """Whether blocks outlive a reset of the engine's caches. A reset comes with sleep, and with
    new weights: set it only where weights never change in place."""
    locality: Literal["LOCAL", "REMOTE"] = "REMOTE"
    """Where the engine is told that this tier lies, for requests that name tiers to load from."""
