"""Finds the memory behind whatever a caller hands over."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from holdfast._dlpack import host_tensor
from holdfast.errors import InvalidArgument, Unsupported
from holdfast_native import Region as NativeRegion

_OBJECTS = (
    "the array holds Python objects, which are addresses within this process: register an array "
    "of numbers or bytes"
)


def native_region(source: Any) -> NativeRegion:
    """Registers `source`: buffer protocol, `__array_interface__` or DLPack in host memory.

    Raises Unsupported for device memory, InvalidArgument for memory that is not C-contiguous or
    objects that have none.
    """
    if _on_a_device(source):
        raise Unsupported(
            f"{type(source).__name__} lies in GPU memory, this version moves host memory only: "
            "copy it to (pinned) host memory and register that"
        )
    try:
        view = memoryview(source)
    except (TypeError, ValueError, BufferError):
        return _without_buffer_protocol(source)
    if not view.c_contiguous:
        raise InvalidArgument(
            f"the buffer of shape {view.shape} and strides {view.strides} is not C-contiguous: "
            "register the whole buffer that it is a view of, or a contiguous copy"
        )
    if "O" in view.format and np.asarray(view).dtype.hasobject:
        raise InvalidArgument(_OBJECTS)
    if view.ndim == 0:
        # Its buffer has no shape, which the native side needs; its bytes have one, whatever their
        # format, and hold it.
        return NativeRegion(np.frombuffer(view, dtype=np.uint8).data)
    return NativeRegion(source)


def _on_a_device(source: Any) -> bool:
    try:
        return getattr(source, "__cuda_array_interface__", None) is not None
    except Exception:
        # torch raises its own errors here for tensors that are not on a GPU.
        return False


def _without_buffer_protocol(source: Any) -> NativeRegion:
    interface = getattr(source, "__array_interface__", None)
    if interface is not None:
        return _from_array_interface(source, interface)
    if hasattr(source, "__dlpack__") and hasattr(source, "__dlpack_device__"):
        try:
            tensor = host_tensor(source)
        except BufferError as error:  # DLPack's word for a tensor that cannot be handed out
            raise InvalidArgument(
                f"{type(source).__name__} hands out no memory by DLPack: {error}"
            ) from error
        return NativeRegion.from_address(
            tensor.address, tensor.nbytes, tensor.owner, tensor.readonly
        )
    raise InvalidArgument(
        f"{type(source).__name__} is no memory: it needs the buffer protocol, "
        "__array_interface__ or DLPack"
    )


def _from_array_interface(source: Any, interface: dict[str, Any]) -> NativeRegion:
    """https://numpy.org/doc/stable/reference/arrays.interface.html, version 3."""
    data = interface.get("data")
    if not isinstance(data, tuple):
        raise InvalidArgument(f"__array_interface__ of {type(source).__name__} names no address")
    address, readonly = data
    if np.dtype(interface["typestr"]).hasobject:
        raise InvalidArgument(_OBJECTS)
    item_bytes = int(np.dtype(interface["typestr"]).itemsize)
    shape = tuple(interface["shape"])
    strides = interface.get("strides")
    if strides is not None and strides != _contiguous_strides(shape, item_bytes):
        raise InvalidArgument(
            f"the array of shape {shape} and strides {strides} is not C-contiguous: register "
            "the whole array that it is a view of, or a contiguous copy"
        )
    return NativeRegion.from_address(address, item_bytes * math.prod(shape), source, bool(readonly))


def _contiguous_strides(shape: tuple[int, ...], item_bytes: int) -> tuple[int, ...]:
    return tuple(item_bytes * math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
