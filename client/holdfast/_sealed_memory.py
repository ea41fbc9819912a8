"""Memory behind a descriptor that can never shrink, so that a data node may map it safely."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import weakref

from holdfast._memory_room import room_for_memory
from holdfast.errors import InvalidArgument, Unavailable

_MADV_POPULATE_WRITE = 23  # Linux 5.14; not named by the standard library


class SealedMemory:
    """An anonymous file of fixed size, mapped, every page present.

    Sealed against shrinking and growing: a process that maps it never meets a missing page, also
    when its owner exits (F_SEAL_SHRINK; without it a truncation raises SIGBUS there).
    """

    def __init__(self, nbytes: int) -> None:
        """Raises InvalidArgument for a size below 1, Unavailable when memory is short."""
        if nbytes < 1:
            raise InvalidArgument(f"{nbytes} bytes cannot be allocated, at least 1 is needed")
        _check_room(nbytes)
        self.descriptor = os.memfd_create("holdfast", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self._close_descriptor = weakref.finalize(self, os.close, self.descriptor)
        try:
            os.ftruncate(self.descriptor, nbytes)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
            self.map = mmap.mmap(self.descriptor, nbytes)
            self._populate()
        except OSError as error:
            self._close_descriptor()
            raise Unavailable(
                f"{nbytes} bytes of shared memory could not be had ({error.strerror}): free "
                "memory, or raise the memory limit of this process (`holdfast doctor`)"
            ) from error

    def _populate(self) -> None:
        with contextlib.suppress(OSError):  # kernels without huge pages for shared memory
            self.map.madvise(mmap.MADV_HUGEPAGE)
        with contextlib.suppress(OSError):  # kernels before 5.14: pages come at first touch
            self.map.madvise(_MADV_POPULATE_WRITE)

    def close(self) -> None:
        """Lets descriptor and mapping go; the mapping stays while arrays still look into it."""
        self._close_descriptor()
        self.descriptor = -1
        with contextlib.suppress(BufferError):
            self.map.close()


def _check_room(nbytes: int) -> None:
    """Raises Unavailable for more than there is: the kernel does not refuse such memory, but kills
    the process that touches it."""
    room_bytes = room_for_memory()
    if room_bytes is not None and nbytes > room_bytes:
        raise Unavailable(
            f"{nbytes} bytes of shared memory could not be had, {max(0, room_bytes)} are "
            "available: allocate less, free memory, or raise the memory limit of this process "
            "(`holdfast doctor`)"
        )
