"""What the state machine needs of a store. Every implementation passes tests/metanode/store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

PIECE_BYTES = 256 << 10
"""Bytes of one piece of a checkpoint on the wire; the last one may be shorter."""


class Reader(Protocol):
    """One consistent view; nothing that commits meanwhile shows in it."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None. Keys have 1 to 511 bytes."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of every key that starts with `prefix`, in byte order."""


class Writer(Reader, Protocol):
    """A view that sees its own changes; they commit together when its context ends well."""

    def put(self, key: bytes, value: bytes) -> None:
        """Sets `key`."""

    def delete(self, key: bytes) -> None:
        """Removes `key`; absent is fine."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A durable, complete copy of a store, as of one applied Raft index."""

    index: int
    term: int
    length_bytes: int
    """Length of its content."""
    sha256: bytes
    """Of its content, 32 bytes."""


class Store(Protocol):
    """Ordered bytes that survive a crash of the process, and checkpoints that survive power loss.

    A commit is not synced: the Raft log is the durable truth, and it is compacted only behind a
    checkpoint. One thread writes; any thread reads.
    """

    def read(self) -> AbstractContextManager[Reader]:
        """A view of the last commit. Short: it holds back reuse of space."""

    def write(self) -> AbstractContextManager[Writer]:
        """The next transaction; an exception in its context undoes it."""

    def take_checkpoint(self) -> Checkpoint:
        """Copies the last commit; once this returns the copy survives power loss.

        It replaces the checkpoint before. Safe beside the writer, one call at a time.
        """

    def newest_checkpoint(self) -> Checkpoint | None:
        """The one that `take_checkpoint` or `install` made last."""

    def pieces(self, index: int) -> Iterator[bytes]:
        """Content of the checkpoint at `index`, in order, `PIECE_BYTES` each.

        Raises NotFound when there is no such checkpoint any more.
        """

    def stage(self, checkpoint: Checkpoint, pieces: Iterable[bytes]) -> None:
        """Receives another member's checkpoint beside the live state; any thread.

        Raises Corrupt unless length and hash are those of `checkpoint`.
        """

    def install(self, index: int) -> None:
        """Makes the staged checkpoint the state, whole or not at all; the writer's thread.

        Raises NotFound when no such checkpoint was staged.
        """

    def close(self) -> None:
        """Closes files; twice is fine."""
