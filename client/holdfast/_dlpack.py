"""Reads where a DLPack tensor lies, whatever its element type (bfloat16 and float8 too).

The capsule is kept, not consumed: it holds the tensor, and its own destructor lets it go.
Structures: https://dmlc.github.io/dlpack/latest/c_api.html
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from holdfast.errors import InvalidArgument, Unsupported

_HOST_DEVICES = (1, 3, 11)
"""kDLCPU, kDLCUDAHost, kDLROCMHost: memory that this process reads and writes directly."""
_DEVICE_NAMES = {2: "CUDA", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "CUDA managed", 14: "oneAPI"}
_READ_ONLY = 1
_VERSION_MAX = (1, 0)


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("type_code", ctypes.c_uint8),
        ("type_bits", ctypes.c_uint8),
        ("type_lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _VersionedHead(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


@dataclass(frozen=True, slots=True)
class HostTensor:
    """Contiguous host memory of a tensor, valid while `owner` lives."""

    address: int
    nbytes: int
    readonly: bool
    owner: object


def host_tensor(source: Any) -> HostTensor:
    """Where the elements of `source`, an object with `__dlpack__`, lie.

    Raises Unsupported for a tensor in device memory, InvalidArgument for one that is not
    C-contiguous.
    """
    device_type, device_id = source.__dlpack_device__()
    if int(device_type) not in _HOST_DEVICES:
        name = _DEVICE_NAMES.get(int(device_type), f"DLPack type {int(device_type)}")
        raise Unsupported(
            f"the tensor lies in device memory ({name} {device_id}), this version moves host "
            "memory only: copy it to (pinned) host memory and register that"
        )
    try:
        capsule = source.__dlpack__(max_version=_VERSION_MAX)
    except TypeError:
        capsule = source.__dlpack__()
    tensor, readonly = _open(capsule)
    elements = _contiguous_elements(tensor)
    bits = elements * tensor.type_bits * tensor.type_lanes
    address = (tensor.data or 0) + tensor.byte_offset
    return HostTensor(address, (bits + 7) // 8, readonly, (capsule, source))


def _open(capsule: object) -> tuple[_Tensor, bool]:
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    is_valid = ctypes.pythonapi.PyCapsule_IsValid
    is_valid.restype, is_valid.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
    if is_valid(capsule, b"dltensor_versioned"):
        head = _VersionedHead.from_address(get_pointer(capsule, b"dltensor_versioned"))
        if head.major != _VERSION_MAX[0]:
            raise Unsupported(
                f"the tensor speaks DLPack {head.major}.{head.minor}, this version reads 1.x"
            )
        return head.tensor, bool(head.flags & _READ_ONLY)
    if is_valid(capsule, b"dltensor"):
        # The form without version cannot say whether it is read-only; by custom it is not.
        return _Tensor.from_address(get_pointer(capsule, b"dltensor")), False
    raise InvalidArgument(f"__dlpack__ gave no DLPack capsule but {capsule!r}")


def _contiguous_elements(tensor: _Tensor) -> int:
    shape = [tensor.shape[axis] for axis in range(tensor.ndim)]
    elements = 1
    for axis in reversed(range(tensor.ndim)):
        if tensor.strides and shape[axis] > 1 and tensor.strides[axis] != elements:
            strides = [tensor.strides[a] for a in range(tensor.ndim)]
            raise InvalidArgument(
                f"the tensor of shape {shape} and strides {strides} is not C-contiguous: "
                "register the whole tensor that it is a view of, or a contiguous copy"
            )
        elements *= shape[axis]
    return elements
