"""The forms of keys and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import holdfast
from holdfast._keys import Keys, native_keys


def test_packed_keys_share_the_buffer() -> None:
    data = bytearray(range(32))
    packed = holdfast.PackedKeys(data, key_bytes=8)
    array = native_keys(packed)
    assert len(packed) == 4
    assert isinstance(array, memoryview)
    assert array.shape == (4, 8)
    data[0] = 255
    assert array[0, 0] == 255


def test_an_array_of_keys_becomes_contiguous() -> None:
    wide = np.arange(64, dtype=np.uint8).reshape(4, 16)
    array = native_keys(wide[:, ::2])
    assert isinstance(array, memoryview)
    assert array.c_contiguous
    assert array.tolist() == wide[:, ::2].tolist()


def test_sequences_of_bytes_of_any_lengths() -> None:
    assert native_keys([b"a", b"longer"]) == [b"a", b"longer"]
    assert native_keys((b"a",)) == (b"a",)
    assert len(native_keys([])) == 0


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (b"one key", "list"),
        ("text", "list"),
        ([b""], "1 to 4096"),
        ([b"x" * 4097], "4097"),
        (["text"], "str"),
        (np.zeros((2, 8), np.int32), "int32"),
        (np.zeros(8, np.uint8), "uint8"),
        (np.zeros((2, 0), np.uint8), "0 bytes"),
        (np.zeros((65_537, 1), np.uint8), "65537"),
    ],
)
def test_what_is_no_keys_is_refused(keys: Keys, says: str) -> None:
    with pytest.raises(holdfast.InvalidArgument, match=says):
        native_keys(keys)


@pytest.mark.parametrize("key_bytes", [0, 3, -1])
def test_packed_keys_must_fit(key_bytes: int) -> None:
    with pytest.raises(holdfast.InvalidArgument):
        holdfast.PackedKeys(b"12345678", key_bytes)
