"""What one worker holds of every block of one KV group."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from holdfast.engines.fingerprint import Facts


@dataclass(frozen=True, slots=True)
class Shard:
    """Named by what it holds, so that whoever holds the same shares it."""

    group: int
    label: str
    """For people: "l0-31.h0-7"."""
    facts: Facts
    """Layers, heads, layout and canary: what its bytes depend on."""
    block_bytes: int
    writes: bool
    """Whether this worker stores it; of workers that hold the same, one does."""

    @property
    def identity(self) -> str:
        """Equal for workers that hold the same."""
        told = json.dumps(self.facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(told.encode()).hexdigest()
