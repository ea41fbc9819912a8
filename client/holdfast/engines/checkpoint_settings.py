"""What an operator can set about the model, where an engine knows its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from holdfast.engines.settings import EngineSettings


class CheckpointSettings(EngineSettings):
    """Settings of every engine's door, and what the weights are told by."""

    weights: Path | None = None
    """Folder of the checkpoint, to digest; None: where the engine found its model."""
    weights_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Stands for the weights, those of a draft model included, instead of a digest: the operator's
    word that equal ids are equal weights. For checkpoints that do not lie in a folder."""
