"""Spaces: one KV namespace of one tenant, and how many copies its blocks have."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import Any

import msgpack

from holdfast_kvstore.errors import Corrupt, InvalidArgument, SpaceMismatch, VersionSkew
from holdfast_kvstore.policies import LIMITS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*\Z")
_UINT32_MAX = 2**32 - 1
_FORM_VERSION = 1
STORAGE_CLASSES = ("cache",)
"""Storage classes of this version: `cache` blocks may be evicted."""


@dataclass(frozen=True, slots=True)
class Redundancy:
    """How the blocks of a space survive the loss of a node.

    `copies` whole copies lie on the first `copies` owners of each block's group. Parsed from
    "single" or "mirror:N"; another scheme is one more prefix in `parse`.
    """

    copies: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.copies <= LIMITS.copies_max:
            raise InvalidArgument(
                f"redundancy has {self.copies} copies, 1 to {LIMITS.copies_max} are possible"
            )

    @classmethod
    def parse(cls, text: str) -> Redundancy:
        """Reads "single", "mirror:2" or "mirror:3"; raises InvalidArgument for anything else."""
        scheme, _, parameter = text.partition(":")
        if text == "single":
            return cls(1)
        if scheme == "mirror" and parameter.isascii() and parameter.isdigit():
            copies = int(parameter[:4])
            if copies >= 2:
                return cls(copies)
        raise InvalidArgument(
            f'redundancy {text!r} is not known: use "single" or "mirror:2" to '
            f'"mirror:{LIMITS.copies_max}"'
        )

    @property
    def nodes_needed(self) -> int:
        """Owners of a group that hold something of each of its blocks."""
        return self.copies

    def __str__(self) -> str:
        return "single" if self.copies == 1 else f"mirror:{self.copies}"


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
    """Bytes of every block. 1 to 16 MiB."""
    redundancy: Redundancy = Redundancy()
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
        _check_range("block_bytes", self.block_bytes, 1, LIMITS.block_bytes_max, "bytes")
        _check_range("ttl_s", self.ttl_s, 0, _UINT32_MAX, "seconds")
        _check_range("priority", self.priority, 0, 255, "(a level)")
        _check_range("generation", self.generation, 1, _UINT32_MAX, "(a count)")
        found = len(self.fingerprint.encode("utf-8", "surrogatepass"))
        _check_range("fingerprint", found, 0, LIMITS.fingerprint_bytes_max, "bytes of UTF-8")
        if self.storage_class not in STORAGE_CLASSES:
            raise InvalidArgument(
                f"storage_class {self.storage_class!r} is not known: use one of {STORAGE_CLASSES}"
            )

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
