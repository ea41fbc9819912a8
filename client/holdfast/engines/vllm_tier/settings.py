"""What an operator can set for the secondary tier, in its entry of `secondary_tiers`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from holdfast.engines.host_cache_settings import HostCacheSettings
from holdfast.engines.settings import Milliseconds

Bytes = Annotated[int, Field(ge=1 << 20, le=1 << 40)]


class TierSettings(HostCacheSettings):
    """Settings of the tier beside the common ones."""

    lookup_keys_max: Annotated[int, Field(ge=1_024, le=1 << 24)] = 131_072
    """Answers that are remembered, some 200 bytes each."""
    lookup_life_ms: Milliseconds = 5_000
    """How long an answer also holds for requests that come later."""
    save_bytes_max: Bytes = 1 << 30
    """Bytes on their way to the cluster at once, never more than half of the primary tier; what
    does not fit is not stored."""
    load_bytes_max: Bytes = 1 << 30
    """Bytes on their way from the cluster at once; what does not fit waits."""
    keep_on_reset: bool = False
    """Whether blocks outlive a reset of the engine's caches. A reset comes with sleep, and with
    new weights: set it only where weights never change in place."""
    locality: Literal["LOCAL", "REMOTE"] = "REMOTE"
    """Where the engine is told that this tier lies, for requests that name tiers to load from."""
