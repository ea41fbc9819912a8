"""What the bytes of a KV block depend on, as one value that names a space."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FORMAT = 1
"""Version of what this library puts into a block; a change starts new spaces."""
_NAME_BYTES_MAX = 128
_TEXT_BYTES_MAX = 1_024
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")

Fact = str | int | float | bool | None
Facts = Mapping[str, "Fact | Sequence[Fact] | Sequence[Sequence[Fact]]"]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Facts that must agree between whoever stored a block and whoever loads it."""

    facts: Facts
    """Names and values; everything that changes the bytes, nothing that does not."""

    def canonical(self) -> bytes:
        """The facts as JSON with sorted names: equal facts, equal bytes."""
        told = {"holdfast": FORMAT, **self.facts}
        return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """SHA-256 of the facts, hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @property
    def text(self) -> str:
        """For the space: the digest, then as much of the facts as there is room for."""
        told = f"sha256:{self.digest} {self.canonical().decode()}".encode()
        return told[:_TEXT_BYTES_MAX].decode(errors="ignore")

    def space_name(self, first: str, label: str) -> str:
        """A name that differs for every fingerprint: `first`, `label` made fit, digest.

        label: says to a person what it is ("llama-3-8b.l0-15").
        """
        ending = f"-{self.digest[:32]}"
        fit = _UNFIT.sub("-", label).strip("-")
        return f"{first}-{fit}"[: _NAME_BYTES_MAX - len(ending)] + ending
