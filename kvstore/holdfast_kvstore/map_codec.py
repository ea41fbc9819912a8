"""The cluster map's bytes, stored by metadata nodes and sent to clients and data nodes.

Version 1, little endian:

    0   4   magic "HFCM"
    4   2   version, 1
    6   2   zero
    8   4   header_bytes
    12  ..  header: MessagePack map {cluster_id, epoch, level, ticket_keys, group_count, width,
            slot_bytes, moving, nodes: [[id, incarnation, tcp_address, unix_path, boot_id, host,
            rack, weight, capacity_bytes, state], ...]}
    ..  ..  owners: group_count * width unsigned slots of slot_bytes (2), all bits set for none
    ..  ..  moving groups: `moving` u32, rising
    ..  ..  previous owners of those groups: moving * width slots
    ..  4   CRC-32 (IEEE, as zlib's) of all before it
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from typing import Any

import msgpack
import numpy as np

from holdfast_kvstore.cluster_map import HOLE, ClusterMap, Int32Array, Node, NodeState
from holdfast_kvstore.errors import Corrupt, InvalidArgument, VersionSkew
from holdfast_kvstore.policies import LIMITS

_PREFIX = struct.Struct("<4sHHI")
_CHECK = struct.Struct("<I")
_MAGIC = b"HFCM"
MAP_VERSION = 1
"""Version of the form that `encode_map` writes."""
_SLOT = np.dtype("<u2")
_GROUP = np.dtype("<u4")
_NO_SLOT = 0xFFFF
HEADER_BYTES_MAX = 16 << 20
"""Bytes of a header at most; 4,096 nodes with the longest labels need less."""


def encode_map(value: ClusterMap) -> bytes:
    """`value` as bytes of the newest version."""
    moving = np.flatnonzero((value.previous != HOLE).any(axis=1))
    header: bytes = msgpack.packb(
        {
            "cluster_id": value.cluster_id,
            "epoch": value.epoch,
            "level": value.level,
            "ticket_keys": list(value.ticket_keys),
            "group_count": value.group_count,
            "width": value.width,
            "slot_bytes": _SLOT.itemsize,
            "moving": len(moving),
            "nodes": [_node_fields(node) for node in value.nodes],
        }
    )
    content = b"".join(
        (
            _PREFIX.pack(_MAGIC, MAP_VERSION, 0, len(header)),
            header,
            value.owners.astype(_SLOT).tobytes(),
            moving.astype(_GROUP).tobytes(),
            value.previous[moving].astype(_SLOT).tobytes(),
        )
    )
    return content + _CHECK.pack(zlib.crc32(content))


def decode_map(data: bytes | bytearray | memoryview) -> ClusterMap:
    """Reads bytes of any known version.

    Raises VersionSkew for a newer version and Corrupt for anything that `encode_map` did not
    write; never allocates more than a small multiple of `data`'s length.
    """
    data = bytes(data)
    if len(data) < _PREFIX.size + _CHECK.size or data[:4] != _MAGIC:
        raise Corrupt(f"not a cluster map: {len(data)} bytes starting with {data[:4].hex()}")
    _, version, _, header_bytes = _PREFIX.unpack_from(data)
    if version != MAP_VERSION:
        raise VersionSkew("cluster map", str(MAP_VERSION), str(version))
    (check,) = _CHECK.unpack_from(data, len(data) - _CHECK.size)
    body = data[: -_CHECK.size]
    if zlib.crc32(body) != check:
        raise Corrupt(f"cluster map's check is {check:#010x}, its bytes give another")
    if header_bytes > min(HEADER_BYTES_MAX, len(body) - _PREFIX.size):
        raise Corrupt(f"cluster map's header of {header_bytes} bytes is longer than its bytes")
    header = _read_header(body[_PREFIX.size : _PREFIX.size + header_bytes])
    owners, previous = _read_tables(header, body[_PREFIX.size + header_bytes :])
    try:
        return ClusterMap(
            cluster_id=header["cluster_id"],
            epoch=header["epoch"],
            level=header["level"],
            ticket_keys=tuple(header["ticket_keys"]),
            nodes=tuple(_node(fields) for fields in header["nodes"]),
            owners=owners,
            previous=previous,
        )
    except InvalidArgument as error:
        raise Corrupt(f"cluster map does not hold: {error}") from error


def _node_fields(node: Node) -> list[object]:
    return [
        node.id,
        node.incarnation,
        node.tcp_address,
        node.unix_path,
        node.boot_id,
        node.host,
        node.rack,
        node.weight,
        node.capacity_bytes,
        int(node.state),
    ]


def _node(fields: Any) -> Node:
    kinds = (int, int, str, str, str, str, str, int, int, int)
    if type(fields) is not list or [type(field) for field in fields] != list(kinds):
        raise Corrupt("cluster map has a node without the fields of version 1")
    if fields[-1] not in set(NodeState):
        raise Corrupt(f"cluster map has a node in the unknown state {fields[-1]}")
    names = [field.name for field in dataclasses.fields(Node)]
    return Node(**dict(zip(names, [*fields[:-1], NodeState(fields[-1])], strict=True)))


def _read_header(data: bytes) -> dict[str, Any]:
    try:
        header = msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException) as error:
        raise Corrupt(f"cluster map's header is not MessagePack: {error}") from error
    if type(header) is not dict:
        raise Corrupt("cluster map's header is not a MessagePack map")
    for name, kind in (
        ("cluster_id", bytes),
        ("epoch", int),
        ("level", int),
        ("ticket_keys", list),
        ("group_count", int),
        ("width", int),
        ("slot_bytes", int),
        ("moving", int),
        ("nodes", list),
    ):
        if type(header.get(name)) is not kind:
            raise Corrupt(f"cluster map's header has no valid {name}")
    if any(type(key) is not bytes for key in header["ticket_keys"]):
        raise Corrupt("cluster map's header has no valid ticket_keys")
    groups, width, moving = header["group_count"], header["width"], header["moving"]
    if not (1 <= groups <= LIMITS.groups_max and 1 <= width <= LIMITS.owners_max):
        raise Corrupt(f"cluster map has {groups} groups of width {width}")
    if not 0 <= moving <= groups or header["slot_bytes"] != _SLOT.itemsize:
        raise Corrupt("cluster map's tables have an unknown form")
    return header


def _read_tables(header: dict[str, Any], data: bytes) -> tuple[Int32Array, Int32Array]:
    groups, width, moving = header["group_count"], header["width"], header["moving"]
    row_bytes = width * _SLOT.itemsize
    expected = groups * row_bytes + moving * (_GROUP.itemsize + row_bytes)
    if len(data) != expected:
        raise Corrupt(f"cluster map's tables have {len(data)} bytes, {expected} were expected")
    owners = _slots(np.frombuffer(data, _SLOT, groups * width), width)
    offset = groups * row_bytes
    names = np.frombuffer(data, _GROUP, moving, offset).astype(np.int64)
    if moving and (int(names[-1]) >= groups or bool((np.diff(names) <= 0).any())):
        raise Corrupt("cluster map's moving groups are not rising group numbers")
    previous = np.full((groups, width), HOLE, dtype=np.int32)
    offset += moving * _GROUP.itemsize
    previous[names] = _slots(np.frombuffer(data, _SLOT, moving * width, offset), width)
    return owners, previous


def _slots(raw: np.ndarray[Any, Any], width: int) -> Int32Array:
    slots = raw.astype(np.int32).reshape(-1, width)
    slots[slots == _NO_SLOT] = HOLE
    return slots
