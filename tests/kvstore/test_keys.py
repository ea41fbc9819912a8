"""Block ids and groups: the reference, checked against BLAKE3 and by golden vectors."""

import hashlib
from typing import Any

import blake3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_kvstore import InvalidArgument, keys
from tests.kvstore.golden_file import golden

CLUSTER = bytes(range(16))


def reference_id(cluster: bytes, tenant: int, space: int, key: bytes) -> bytes:
    material = keys.key_material(cluster, tenant, space)
    hash_key = blake3.blake3(material, derive_key_context=keys.BLOCK_ID_CONTEXT).digest()
    return blake3.blake3(key, key=hash_key).digest()[:16]


def vectors() -> dict[str, Any]:
    """What tests/golden/block_ids.json holds; native tests read the same file."""
    cases = [
        (CLUSTER, 1, 1, b""),
        (CLUSTER, 1, 1, b"key"),
        (CLUSTER, 1, 2, b"key"),
        (CLUSTER, 2, 1, b"key"),
        (bytes(16), 1, 1, b"key"),
        (b"\xff" * 16, 2**32 - 1, 2**32 - 1, hashlib.sha256(b"prefix").digest()),
        (CLUSTER, 7, 42, bytes(range(256)) * 16),
    ]
    found = []
    for cluster, tenant, space, key in cases:
        block_id = reference_id(cluster, tenant, space, key)
        found.append(
            {
                "cluster": cluster.hex(),
                "tenant": tenant,
                "space": space,
                "key": key.hex(),
                "block_id": block_id.hex(),
                "group_of_4096": keys.group_of(block_id, 4096),
                "group_of_100000": keys.group_of(block_id, 100_000),
            }
        )
    return {"context": keys.BLOCK_ID_CONTEXT, "vectors": found}


def test_ids_are_those_of_the_golden_file() -> None:
    assert golden("block_ids.json", vectors()) == vectors()


@given(st.binary(min_size=16, max_size=16), st.integers(1, 2**31 - 1))
def test_a_split_halves_every_group(block_id: bytes, group_count: int) -> None:
    group = keys.group_of(block_id, group_count)
    assert 0 <= group < group_count
    assert keys.group_of(block_id, 2 * group_count) // 2 == group


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=50), st.integers(1, 2**32 - 1))
def test_many_ids_at_once_give_the_same_groups(ids: list[bytes], group_count: int) -> None:
    found = keys.groups_of(b"".join(ids), group_count)
    assert found.tolist() == [keys.group_of(block_id, group_count) for block_id in ids]


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="16"):
        keys.key_material(b"short", 1, 1)
    with pytest.raises(InvalidArgument, match="tenant number is 4294967296"):
        keys.key_material(CLUSTER, 2**32, 1)
    with pytest.raises(InvalidArgument, match="15 bytes"):
        keys.group_of(bytes(15), 4)
    with pytest.raises(InvalidArgument, match="group count is 0"):
        keys.group_of(bytes(16), 0)
    with pytest.raises(InvalidArgument, match="17 bytes"):
        keys.groups_of(bytes(17), 4)
    with pytest.raises(InvalidArgument, match="group count"):
        keys.groups_of(bytes(16), 2**32)
