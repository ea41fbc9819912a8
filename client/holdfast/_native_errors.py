"""Errors of the native module, one to one as public ones."""

from __future__ import annotations

import holdfast_native
from holdfast.errors import Busy, Closed, ForkedError, HoldfastError, Internal, InvalidArgument

_PUBLIC: dict[type[holdfast_native.NativeError], type[HoldfastError]] = {
    holdfast_native.ClosedError: Closed,
    holdfast_native.ForkedError: ForkedError,
    holdfast_native.InFlightError: Busy,
    holdfast_native.SegmentsError: InvalidArgument,
}


def translated(error: holdfast_native.NativeError) -> HoldfastError:
    """The public error for a native one; a kind that has none is `Internal`."""
    return _PUBLIC.get(type(error), Internal)(str(error))
