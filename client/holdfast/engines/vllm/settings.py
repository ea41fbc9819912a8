"""What an operator can set in `kv_connector_extra_config`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from holdfast.engines.checkpoint_settings import CheckpointSettings


class VllmSettings(CheckpointSettings):
    """Settings of the connector, beside the common ones."""

    load: Literal["async", "sync"] = "async"
    """Whether requests wait beside the running ones while their blocks are read, or the step of
    their first forward waits. Models with several KV groups always load asynchronously."""
    offer: Literal["when_faster", "always"] = "when_faster"
    """Whether a hit is only taken when reading it is expected to beat computing it."""
    save: bool = True
    """Whether blocks are stored; False: read only."""
    save_bytes_max: Annotated[int, Field(ge=1 << 20, le=1 << 50)] = 1 << 30
    """Bytes of blocks, over all workers' shards, that may be kept from reuse because they are being
    stored; what exceeds it is dropped from the tail of its request."""
    staging_bytes: Annotated[int, Field(ge=2 << 20, le=1 << 40)] = 512 << 20
    """Where KV lies on a GPU: most bytes of pinned host memory that a worker's blocks pass through,
    half of it for loads and half for saves. What does not fit at once goes one after the other."""
