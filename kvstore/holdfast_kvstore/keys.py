"""From a block's key to its id and placement group: the reference for the native crate `wire`.

An id is the first 16 bytes of BLAKE3's keyed hash of the key. The hash key of a space is
BLAKE3's derive_key("holdfast block id v1", cluster id || tenant u32 LE || space u32 LE). Ids are
computed in native code; tests/golden/block_ids.json holds it to this form.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from holdfast_kvstore.errors import InvalidArgument

BLOCK_ID_CONTEXT = "holdfast block id v1"
"""Context of the key derivation; a new form of id needs a new text."""
BLOCK_ID_BYTES = 16
"""Bytes of a block id."""
_MATERIAL = struct.Struct("<16sII")
_UINT32_MAX = 2**32 - 1


def key_material(cluster_id: bytes, tenant: int, space: int) -> bytes:
    """The 24 bytes from which the hash key of a space is derived.

    Raises InvalidArgument unless `cluster_id` has 16 bytes and both numbers fit in 32 bits.
    """
    if len(cluster_id) != 16:
        raise InvalidArgument(f"cluster id has {len(cluster_id)} bytes, it must have 16")
    for what, number in (("tenant", tenant), ("space", space)):
        if not 0 <= number <= _UINT32_MAX:
            raise InvalidArgument(f"{what} number is {number}, it must be 0 to {_UINT32_MAX}")
    return _MATERIAL.pack(cluster_id, tenant, space)


def group_of(block_id: bytes, group_count: int) -> int:
    """The placement group of a block: its first eight bytes scaled to the number of groups.

    Doubling `group_count` cuts every group in two neighbours. Raises InvalidArgument for an id
    that has not 16 bytes or a count outside of 1 to 2**32 - 1.
    """
    if len(block_id) != BLOCK_ID_BYTES:
        raise InvalidArgument(f"block id has {len(block_id)} bytes, it must have 16")
    if not 1 <= group_count <= _UINT32_MAX:
        raise InvalidArgument(f"group count is {group_count}, it must be 1 to {_UINT32_MAX}")
    return (int.from_bytes(block_id[:8], "little") * group_count) >> 64


def groups_of(block_ids: bytes, group_count: int) -> npt.NDArray[np.uint32]:
    """uint32[n]: `group_of` for n ids of 16 bytes, concatenated."""
    if len(block_ids) % BLOCK_ID_BYTES:
        raise InvalidArgument(f"{len(block_ids)} bytes are no whole number of 16-byte ids")
    if not 1 <= group_count <= _UINT32_MAX:
        raise InvalidArgument(f"group count is {group_count}, it must be 1 to {_UINT32_MAX}")
    heads = np.frombuffer(block_ids, dtype="<u8")[::2]
    low, count = heads & np.uint64(_UINT32_MAX), np.uint64(group_count)
    high = heads >> np.uint64(32)
    # 64 x 32 bit product in two halves, so that nothing overflows 64 bits.
    return ((high * count + ((low * count) >> np.uint64(32))) >> np.uint64(32)).astype(np.uint32)
