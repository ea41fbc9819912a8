"""What an operator can set in LMCache's `adapter_params`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from holdfast.engines.settings import EngineSettings

_Text = Annotated[str, Field(max_length=256)]


class LmcacheSettings(EngineSettings):
    """Settings of one adapter. What the bytes depend on and LMCache's names do not say stands
    here: servers share blocks when all of it agrees."""

    kv_dtype: Annotated[str, Field(min_length=1, max_length=64)]
    """Data type of the engine's KV cache ("bfloat16", "fp8_e4m3"); two that have the same size
    cannot be told apart by the bytes. Must be given."""
    weights: Path | None = None
    """Folder of the model's checkpoint, whose digest is taken at start. Two models with the same
    name and different weights need it, or `model_revision`."""
    model_revision: _Text = ""
    """The same as text, where the folder is not at hand; also fits a server of several models."""
    layout: _Text = ""
    """Whatever else the bytes depend on: attention backend, or instruction set on CPU."""
    object_format: _Text | None = None
    """Version of how LMCache lays out an object; None: the installed LMCache's minor version. Give
    one text before and after an upgrade that is known to keep the layout, and the cache stays
    warm."""
    bytes_in_flight_max: Annotated[int, Field(ge=1, le=4 << 30)] = 1 << 30
    """Payload under way at once; what is submitted beyond it waits its turn."""
    objects_waiting_max: Annotated[int, Field(ge=1, le=1 << 20)] = 65_536
    """Objects submitted and not answered yet; a batch beyond it is answered as failed at once."""
