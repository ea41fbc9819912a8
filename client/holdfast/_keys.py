"""The forms in which callers name blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from holdfast._limits import check_integer
from holdfast.errors import InvalidArgument
from holdfast_kvstore.policies import LIMITS


@dataclass(frozen=True, slots=True)
class PackedKeys:
    """Keys of equal length in one buffer, one behind the other: the fast form.

    Raises InvalidArgument if `data` is no contiguous buffer or no whole number of keys.
    """

    data: bytes | bytearray | memoryview
    key_bytes: int

    def __post_init__(self) -> None:
        try:
            view = memoryview(self.data)
        except (TypeError, ValueError, BufferError):  # ValueError: a view that was released
            raise InvalidArgument(
                f"data of packed keys is a {type(self.data).__name__} without a buffer: pass "
                "bytes, or keys of several lengths as a list"
            ) from None
        if not view.c_contiguous:
            raise InvalidArgument("data of packed keys is not C-contiguous: pass a copy of it")
        check_integer("key_bytes", self.key_bytes, 1, LIMITS.key_bytes_max)
        nbytes = view.nbytes
        if nbytes % self.key_bytes:
            raise InvalidArgument(
                f"{nbytes} bytes are no whole number of keys of {self.key_bytes} bytes each"
            )

    def __len__(self) -> int:
        return memoryview(self.data).nbytes // self.key_bytes

    def as_array(self) -> npt.NDArray[np.uint8]:
        """The keys as uint8[keys, key_bytes], sharing `data`."""
        return np.frombuffer(self.data, dtype=np.uint8).reshape(-1, self.key_bytes)


Keys = PackedKeys | npt.NDArray[np.uint8] | Sequence[bytes]
"""Opaque keys, each up to 4,096 bytes: `PackedKeys`, an array uint8[keys, key_bytes] (both fast),
or a sequence of bytes of any lengths."""


_BYTE = np.dtype(np.uint8)

NativeKeys = memoryview | Sequence[bytes]
"""uint8[keys, key_bytes], contiguous, or keys one by one."""


def native_keys(keys: Keys) -> NativeKeys:
    """`keys` in a form that the native client takes, checked.

    Raises InvalidArgument for anything that is not keys, or too many of them.
    """
    checked: NativeKeys
    if isinstance(keys, PackedKeys):
        checked = _packed(keys.as_array())
    elif isinstance(keys, np.ndarray):
        checked = _packed(keys)
    elif isinstance(keys, (bytes, bytearray, memoryview, str)):
        raise InvalidArgument(
            "keys are a sequence of bytes: put a single key in a list, wrap many keys of equal "
            "length in PackedKeys"
        )
    else:
        checked = keys if isinstance(keys, (list, tuple)) else _listed(keys)
        for key in checked:
            if not isinstance(key, bytes):
                raise InvalidArgument(f"a key must be bytes, this one is {type(key).__name__}")
            _check_key_bytes(len(key))
    if len(checked) > LIMITS.keys_per_batch_max:
        raise InvalidArgument(
            f"{len(checked)} keys in one call, up to {LIMITS.keys_per_batch_max} are possible: "
            "split the batch"
        )
    return checked


def _listed(keys: Sequence[bytes]) -> Sequence[bytes]:
    try:
        return list(keys)
    except TypeError:
        raise InvalidArgument(
            f"keys are a {type(keys).__name__}: pass PackedKeys, an array uint8[keys, key_bytes] "
            "or a sequence of bytes"
        ) from None


def _packed(keys: npt.NDArray[np.uint8]) -> memoryview:
    if keys.dtype != _BYTE or keys.ndim != 2:
        raise InvalidArgument(
            f"an array of keys must be uint8[keys, key_bytes], this one is "
            f"{keys.dtype}{list(keys.shape)}: use `.view(numpy.uint8)` and `.reshape`"
        )
    _check_key_bytes(keys.shape[1])
    return keys.data if keys.flags.c_contiguous else np.ascontiguousarray(keys).data


def _check_key_bytes(key_bytes: int) -> None:
    if not 1 <= key_bytes <= LIMITS.key_bytes_max:
        raise InvalidArgument(
            f"a key has {key_bytes} bytes, it must have 1 to {LIMITS.key_bytes_max}"
        )
