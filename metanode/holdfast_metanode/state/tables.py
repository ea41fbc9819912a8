"""Keys of the store, one prefix byte a table. Numbers are big endian, so that they sort.

docs/formats.md, "Metadata", draws them.
"""

from __future__ import annotations

import struct
from typing import Protocol

from holdfast_proto import command_pb2 as records

FORMAT_VERSION = 1
"""Version of the store's form, written by `BootstrapCluster`'s first apply and by every open."""

APPLIED = b"mapplied"
CLUSTER = b"mcluster"
COUNTERS = b"mcounters"
EPOCH = b"mepoch"
FORMAT = b"mformat"
MAP = b"mmap"

TENANTS = b"t"
TENANT_NAMES = b"T"
SPACES = b"s"
SPACE_NAMES = b"S"
MOVES = b"g"
MEMBERS = b"r"
FORMER_MEMBERS = b"R"
SESSIONS = b"c"
SESSION_RESULTS = b"C"
SESSION_ORDER = b"x"

_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


class Source(Protocol):
    """What a table is read from."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""


def u32_key(table: bytes, number: int) -> bytes:
    """Key of a row with a u32 name."""
    return table + _U32.pack(number)


def u64_key(table: bytes, number: int) -> bytes:
    """Key of a row with a u64 name."""
    return table + _U64.pack(number)


def u64_of(key: bytes) -> int:
    """The number in a key that `u64_key` made."""
    return int.from_bytes(key[1:9], "big")


def u32_of(key: bytes) -> int:
    """The number in a key that `u32_key` made."""
    return int.from_bytes(key[1:5], "big")


def space_name_key(tenant_number: int, name: str) -> bytes:
    """Key under which a space's number lies; 5 + up to 128 bytes."""
    return u32_key(SPACE_NAMES, tenant_number) + name.encode()


def read_applied(source: Source) -> records.AppliedRecord:
    """What the store holds of the Raft log; index 0 in an empty store."""
    return records.AppliedRecord.FromString(source.get(APPLIED) or b"")
