"""Memory of the caller that blocks are written from and read into."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from holdfast._buffers import native_region
from holdfast._limits import check_deadline, check_integer
from holdfast._native_errors import translated
from holdfast._sealed_memory import SealedMemory
from holdfast._segments import Indices, Segments
from holdfast.errors import Closed, DeadlineExceeded, ForkedError, InvalidArgument
from holdfast_kvstore.segments import Plane
from holdfast_native import NativeError
from holdfast_native import Region as NativeRegion

_INT64_MAX = 2**63 - 1


class Region:
    """Registered memory. Holds its buffer: the memory stays as long as a call may touch it.

    Made by `Space.register` and `Space.allocate`; a context manager that closes it.
    """

    def __init__(
        self,
        native: NativeRegion,
        memory: Any,
        block_bytes: int,
        close_s: float,
        sealed: SealedMemory | None = None,
    ) -> None:
        self._native = native
        self._process = os.getpid()
        self._memory = memory
        self._block_bytes = block_bytes
        self._close_s = close_s
        self._sealed = sealed

    @classmethod
    def of_buffer(cls, buffer: Any, block_bytes: int, close_s: float) -> Region:
        """Registers memory that exists; see `Space.register`."""
        try:
            return cls(native_region(buffer), buffer, block_bytes, close_s)
        except NativeError as error:
            raise translated(error) from error

    @classmethod
    def allocated(cls, nbytes: int, block_bytes: int, close_s: float) -> Region:
        """Makes memory that data nodes of this host can map; see `Space.allocate`."""
        check_integer("nbytes", nbytes, 1, _INT64_MAX)
        sealed = SealedMemory(nbytes)
        try:
            native = NativeRegion(sealed.map, descriptor=sealed.descriptor, descriptor_offset=0)
        except NativeError as error:
            sealed.close()
            raise translated(error) from error
        return cls(native, sealed.map, block_bytes, close_s, sealed)

    @property
    def memory(self) -> Any:
        """What was registered; of allocated memory a writable buffer (`numpy.frombuffer`).

        Raises Closed.
        """
        if self._native.closed:
            raise Closed("this region was closed")
        return self._memory

    @property
    def nbytes(self) -> int:
        """Its size, bytes."""
        return self._native.nbytes

    @property
    def readonly(self) -> bool:
        """Whether only puts can use it."""
        return self._native.readonly

    @property
    def shareable(self) -> bool:
        """Whether data nodes of this host can map it (allocated memory)."""
        return self._sealed is not None

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._native.closed

    def blocks(
        self,
        block_bytes: int | None = None,
        indices: Indices | None = None,
        *,
        offset_bytes: int = 0,
    ) -> Segments:
        """Blocks that lie one behind the other from `offset_bytes` on.

        block_bytes: of one block; None: the block size of the space that made the region.
        indices: which of them, in the order of the keys; None: all that fit.

        Raises InvalidArgument for an index outside the region, Closed after `close`.
        """
        size = self._block_bytes if block_bytes is None else block_bytes
        check_integer("block_bytes", size, 1, _INT64_MAX)
        check_integer("offset_bytes", offset_bytes, 0, _INT64_MAX)
        if offset_bytes > self.nbytes:
            raise InvalidArgument(
                f"blocks of {size} bytes from byte {offset_bytes} on do not lie in a region of "
                f"{self.nbytes} bytes"
            )
        if indices is None:
            indices = range((self.nbytes - offset_bytes) // size)
        plane = Plane(self, base=offset_bytes, block_stride=size, run_bytes=size)
        return Segments.paged([plane], indices)

    def close(self, deadline: float | None = None) -> None:
        """Waits until no call uses the memory, then lets it go. Closing twice does nothing.

        deadline: seconds, `Timeouts.close_s` by default. Raises DeadlineExceeded when calls
        still use it then: the memory stays theirs until they end, no new call may use it (they
        raise Closed), and it can be closed again. Raises ForkedError at once in a forked child
        when calls of the parent used it at the fork.
        """
        seconds = self._close_s if deadline is None else deadline
        check_deadline("deadline", seconds)
        forked = os.getpid() != self._process
        # In a child nobody ends the parent's calls: waiting for them is of no use.
        if not self._native.close(0 if forked else int(seconds * 1000)):
            if forked:
                raise ForkedError(
                    f"a region of {self.nbytes} bytes is used by calls of process "
                    f"{self._process}, this is its child {os.getpid()}: leave it alone here"
                )
            raise DeadlineExceeded(
                f"a region of {self.nbytes} bytes is still used by calls after {seconds} s: "
                "cancel them or wait for them, then close it again"
            )
        self._memory = None
        if self._sealed is not None:
            self._sealed.close()

    def __enter__(self) -> Region:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{self.nbytes} bytes"
        return f"<Region: {state}{', shareable' if self.shareable else ''}>"
