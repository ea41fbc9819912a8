"""What an operator can set for an engine, validated once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from holdfast.errors import ConfigInvalid
from holdfast_kvstore.config_faults import config_faults

Milliseconds = Annotated[int, Field(ge=1, le=600_000)]


class EngineSettings(BaseModel):
    """Settings that every engine's door takes; what is unknown is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    address: str | None = None
    """`host:port` of metadata members, joined by commas; None: environment or context file."""
    tenant: str | None = None
    """Name of the tenant; None: environment or context file."""
    key: str | None = Field(default=None, repr=False)
    """Its API key as "file:PATH" or "env:NAME"; None: environment or context file."""
    authority: Path | None = None
    """PEM file of the authority that signed the members' certificates; None: no TLS."""
    transport: Literal["auto", "tcp", "shm"] = "auto"
    """See `holdfast.connect`."""
    lanes: Annotated[int, Field(ge=1, le=16)] = 2
    """Connections to each data node."""
    space: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "kv"
    """First part of the names of the spaces that this engine makes."""
    redundancy: Annotated[str, Field(pattern=r"^(single|mirror:[1-9])$")] = "single"
    """Redundancy of spaces that do not exist yet."""
    ttl_s: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0
    """Seconds after which blocks of new spaces are dropped; 0: never."""
    priority: Annotated[int, Field(ge=0, le=255)] = 0
    """Priority of new spaces: blocks of higher priority stay longer."""
    lookup_deadline_ms: Milliseconds = 500
    """How long a lookup may take before it counts as a miss."""
    load_deadline_ms: Milliseconds = 5_000
    """How long the load of one request may take before it counts as failed."""
    save_deadline_ms: Milliseconds = 5_000
    """How long blocks that are being stored may be kept from reuse."""

    @field_validator("key")
    @classmethod
    def _not_in_the_open(cls, key: str | None) -> str | None:
        if key is not None and not key.startswith(("file:", "env:")):
            raise ValueError('must be "file:PATH" or "env:NAME": engines log their settings')
        return key

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Checks `values`. Raises ConfigInvalid that names every setting that is wrong."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigInvalid(f"settings of the engine: {config_faults(error)}") from None
