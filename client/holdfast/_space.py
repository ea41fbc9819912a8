"""One KV namespace, opened: where blocks are looked up, read and written."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from holdfast._aio import SpaceAio
from holdfast._calls import SpaceCalls
from holdfast._futures import SpaceFutures
from holdfast._keys import Keys
from holdfast._region import Region
from holdfast._results import (
    DeleteResult,
    ExistsResult,
    GetResult,
    PinResult,
    PutResult,
    StatResult,
)
from holdfast._segments import Segments
from holdfast._session import Session
from holdfast._space_binding import SpaceBinding
from holdfast._survival import Survival


class Space:
    """A space of one tenant. Every call comes in three forms:

    blocking `space.get(...)`, started `space.futures.get(...)` (a `Pending`), and awaited
    `await space.aio.get(...)`. Each takes `deadline`, seconds; None: the cluster object's
    `Timeouts`. A key that is missing or cannot be served is never an exception; every form raises
    Closed, ForkedError, NotFound (the space was deleted), Unauthenticated (tenant or key are
    gone), Busy (too much in flight) and InvalidArgument. Safe between threads.
    """

    def __init__(self, session: Session, binding: SpaceBinding) -> None:
        self._session = session
        self._binding = binding
        self._calls = SpaceCalls(session, binding)

    # ------------------------------------------------------------------------ what it is

    @property
    def name(self) -> str:
        """Its name."""
        return self._binding.name

    @property
    def number(self) -> int:
        """Its number: unique in the cluster, never used again."""
        return self._binding.number

    @property
    def block_bytes(self) -> int:
        """Bytes of every block."""
        return self._binding.block_bytes

    @property
    def redundancy(self) -> str:
        """ "single", "mirror:N" or "ec:K+M"."""
        return self._binding.info.redundancy

    @property
    def survival(self) -> Survival | None:
        """What its blocks survived when this opening created it; None where it was there before."""
        return self._binding.survival

    @property
    def ttl(self) -> int:
        """Seconds after its write at which a block is dropped; 0: never."""
        return self._binding.info.ttl_s

    @property
    def priority(self) -> int:
        """0 to 255; blocks of higher priority stay longer in a full arena."""
        return self._binding.info.priority

    @property
    def fingerprint(self) -> str:
        """What the bytes depend on, as it was given when the space was created."""
        return self._binding.info.fingerprint

    @cached_property
    def futures(self) -> SpaceFutures:
        """The same calls, started: each answers a `Pending`."""
        return SpaceFutures(self._calls, self._session.completions)

    @cached_property
    def aio(self) -> SpaceAio:
        """The same calls for asyncio."""
        return SpaceAio(self._calls, self._session.completions)

    # ------------------------------------------------------------------------ memory

    def register(self, buffer: Any) -> Region:
        """Registers C-contiguous host memory: buffer protocol, `__array_interface__` or DLPack.

        The region holds `buffer` until it is closed. Raises Unsupported for GPU memory and
        InvalidArgument for anything that is not contiguous memory.
        """
        self._session.check_usable()
        return Region.of_buffer(buffer, self.block_bytes, self._session.timeouts.close_s)

    def allocate(self, nbytes: int) -> Region:
        """Memory that data nodes of this host can map: puts out of it need one copy, theirs.

        nbytes: its size. Raises InvalidArgument, and Unavailable when memory is short.
        """
        self._session.check_usable()
        return Region.allocated(nbytes, self.block_bytes, self._session.timeouts.close_s)

    # ------------------------------------------------------------------------ calls

    def match(self, keys: Keys, *, deadline: float | None = None) -> int:
        """How many keys, from the first on, are stored without a gap."""
        return self._calls.match(keys, deadline).run()

    def exists(self, keys: Keys, *, deadline: float | None = None) -> ExistsResult:
        """Which keys are stored."""
        return self._calls.exists(keys, deadline).run()

    def get(self, keys: Keys, segments: Segments, *, deadline: float | None = None) -> GetResult:
        """Reads each key's block into its segment, checked against its checksum.

        Once this returns or raises, nothing writes into `segments` any more. The bytes of a key
        that is no hit are undefined. Segments that overlap are the caller's error: what their
        bytes are afterwards is undefined, and such keys may be answered as corrupt.
        """
        return self._calls.get(keys, segments, deadline).run()

    def put(
        self,
        keys: Keys,
        segments: Segments,
        first_position: int = 0,
        *,
        deadline: float | None = None,
    ) -> PutResult:
        """Writes each key's block out of its segment, where it is not stored yet.

        first_position: place of the first block in its prefix; the following ones come behind
        it. In a full arena, of blocks of like age the deepest goes first. The memory must stay as
        it is until this returns.
        """
        return self._calls.put(keys, segments, first_position, deadline).run()

    def pin(self, keys: Keys, seconds: float, *, deadline: float | None = None) -> PinResult:
        """Keeps stored blocks from eviction for `seconds`, within the tenant's limit.

        seconds: above 0 and up to 600, in whole milliseconds of at least one. Raises
        InvalidArgument for any other.
        """
        return self._calls.pin(keys, seconds, deadline).run()

    def delete(self, keys: Keys, *, deadline: float | None = None) -> DeleteResult:
        """Removes blocks; pinned ones too."""
        return self._calls.delete(keys, deadline).run()

    def stat(self, keys: Keys, *, deadline: float | None = None) -> StatResult:
        """Facts about blocks: where they lie, checksum, age."""
        return self._calls.stat(keys, deadline).run()

    def __repr__(self) -> str:
        return f"<Space {self.name!r}: number {self.number}, blocks of {self.block_bytes} bytes>"
