"""The names that LMCache gives to objects."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast_kvstore.policies import LIMITS

HASH_CHARACTERS_MIN = 32
"""Hexadecimal characters of a chunk hash that can be trusted. Python's own hash, which LMCache
calls `builtin`, has 16: it differs between processes, and two chunks may share one."""
_PART_BYTES = 8
_NAME_BYTES_MAX = LIMITS.key_bytes_max - _PART_BYTES


class UnfitNameError(Exception):
    """A name under which nothing may be stored; `reason` is what it is counted as."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ObjectName:
    """`model@rank@group@hash` or `model@rank@group@hash@salt`, rank to hash hexadecimal."""

    key: bytes
    """All of it."""
    model: str
    """Name of the model."""
    family: str
    """Model, rank and group: objects that agree in these are of one size."""

    @classmethod
    def parse(cls, text: str) -> ObjectName:
        """Raises UnfitNameError for an unknown form and for a hash that cannot be trusted."""
        fields = text.split("@")
        key = text.encode()
        if len(fields) not in (4, 5) or len(key) > _NAME_BYTES_MAX:
            raise UnfitNameError("unknown_form")
        model, rank, group, digest = fields[:4]
        if len(digest) < HASH_CHARACTERS_MIN:
            raise UnfitNameError("unstable_hash")
        return cls(key, model, f"{model}@{rank}@{group}")

    def part(self, number: int, parts: int) -> bytes:
        """Key of one of the blocks into which an object is cut."""
        return self.key if parts == 1 else self.key + b"#" + str(number).encode()
