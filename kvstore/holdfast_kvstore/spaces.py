"""Spaces: one KV namespace of one tenant, and what its blocks are."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

import msgpack

from holdfast_kvstore.errors import Corrupt, InvalidArgument, SpaceMismatch, VersionSkew
from holdfast_kvstore.policies import LIMITS
from holdfast_kvstore.redundancy import SINGLE, Redundancy

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*\Z")
_UINT32_MAX = 2**32 - 1
_FORM_VERSION = 1
STORAGE_CLASSES = ("cache",)
"""Storage classes of this version: `cache` blocks may be evicted."""


def check_name(what: str, name: str) -> None:
    """Raises InvalidArgument unless `name` may name a tenant, space or node (`what`)."""
    if len(name) > LIMITS.name_bytes_max or not _NAME.match(name):
        raise InvalidArgument(
            f"{what} name {name[: LIMITS.name_bytes_max + 1]!r} is not valid: use 1 to "
            f"{LIMITS.name_bytes_max} letters, digits, '.', '_', '-' or '/', the first one a "
            "letter or digit"
        )


def _check_range(what: str, value: int, least: int, most: int, unit: str) -> None:
    if not least <= value <= most:
        raise InvalidArgument(f"{what} is {value} {unit}, it must be {least} to {most} {unit}")


@dataclass(frozen=True, slots=True)
class SpaceSpec:
    """Everything that a space is, as every node knows it. Immutable but for later generations.

    Raises InvalidArgument for a field outside its range.
    """

    name: str
    """Unique within its tenant."""
    tenant: str
    """Name of the tenant that owns it."""
    tenant_number: int
    """The tenant's number, given by Raft, never used again. 1 to 2**32 - 1."""
    number: int
    """The space's number, given by Raft, never used again. 1 to 2**32 - 1."""
    block_bytes: int
    """Bytes of every block. 1 to 16 MiB; up to 256 MiB where each chunk of it has no more."""
    redundancy: Redundancy = SINGLE
    ttl_s: int = 0
    """Seconds after its write at which a block is dropped; 0: never. Up to 2**32 - 1."""
    priority: int = 0
    """Blocks of higher priority stay longer in a full arena. 0 to 255."""
    storage_class: str = "cache"
    fingerprint: str = ""
    """Opaque text of the engine: model, layout, data type. Up to 1,024 bytes of UTF-8."""
    generation: int = 1
    """Counts changes of those fields that may change. At least 1."""

    def __post_init__(self) -> None:
        check_name("space", self.name)
        check_name("tenant", self.tenant)
        _check_range("tenant_number", self.tenant_number, 1, _UINT32_MAX, "(a number)")
        _check_range("space number", self.number, 1, _UINT32_MAX, "(a number)")
        self._check_block_bytes()
        _check_range("ttl_s", self.ttl_s, 0, _UINT32_MAX, "seconds")
        _check_range("priority", self.priority, 0, 255, "(a level)")
        _check_range("generation", self.generation, 1, _UINT32_MAX, "(a count)")
        found = len(self.fingerprint.encode("utf-8", "surrogatepass"))
        _check_range("fingerprint", found, 0, LIMITS.fingerprint_bytes_max, "bytes of UTF-8")
        if self.storage_class not in STORAGE_CLASSES:
            raise InvalidArgument(
                f"storage_class {self.storage_class!r} is not known: use one of {STORAGE_CLASSES}"
            )

    def _check_block_bytes(self) -> None:
        if not self.redundancy.is_cut:
            _check_range("block_bytes", self.block_bytes, 1, LIMITS.block_bytes_max, "bytes")
            return
        _check_range("block_bytes", self.block_bytes, 1, LIMITS.cut_block_bytes_max, "bytes")
        if self.chunk_bytes > LIMITS.block_bytes_max:
            raise InvalidArgument(
                f"a block of {self.block_bytes} bytes is cut into chunks of {self.chunk_bytes} "
                f"bytes by {self.redundancy}, {LIMITS.block_bytes_max} are possible: use more data "
                "shards or smaller blocks"
            )

    @property
    def chunk_bytes(self) -> int:
        """Bytes of what one owner stores of a block."""
        return self.redundancy.chunk_bytes(self.block_bytes)

    def check_matches(
        self,
        *,
        block_bytes: int | None = None,
        fingerprint: str | None = None,
        redundancy: Redundancy | None = None,
    ) -> None:
        """Raises SpaceMismatch if the caller expects another space than this; None: any value."""
        for field, stored, asked in (
            ("block_bytes", self.block_bytes, block_bytes),
            ("fingerprint", self.fingerprint, fingerprint),
            ("redundancy", self.redundancy, redundancy),
        ):
            if asked is not None and asked != stored:
                shown = [repr(v) if isinstance(v, str) else str(v) for v in (stored, asked)]
                raise SpaceMismatch(f"{self.tenant}/{self.name}", field, shown[0], shown[1])

    def encode(self) -> bytes:
        """Its stored form: MessagePack of [version, {field: value}]."""
        values = asdict(self) | {"redundancy": str(self.redundancy)}
        packed: bytes = msgpack.packb([_FORM_VERSION, values])
        return packed

    @classmethod
    def decode(cls, data: bytes) -> SpaceSpec:
        """Reads `encode`'s bytes; raises Corrupt for garbage, VersionSkew for a newer form."""
        try:
            form = msgpack.unpackb(data)
        except (ValueError, msgpack.UnpackException) as error:
            raise Corrupt(f"stored space is not MessagePack: {error}") from error
        match form:
            case [int(version), dict(values)] if version == _FORM_VERSION:
                return cls._from_values(values)
            case [int(version), *_] if version > _FORM_VERSION:
                raise VersionSkew("stored space", str(_FORM_VERSION), str(version))
        raise Corrupt("stored space has not the form [version, fields]")

    @classmethod
    def _from_values(cls, values: dict[Any, Any]) -> SpaceSpec:
        texts = ("name", "tenant", "redundancy", "storage_class", "fingerprint")
        for field in fields(cls):
            expected = str if field.name in texts else int
            if type(values.get(field.name)) is not expected:
                raise Corrupt(f"stored space has no valid field {field.name!r}")
        known = {field.name: values[field.name] for field in fields(cls)}
        try:
            return cls(**(known | {"redundancy": Redundancy.parse(known["redundancy"])}))
        except InvalidArgument as error:
            raise Corrupt(f"stored space does not hold: {error}") from error
