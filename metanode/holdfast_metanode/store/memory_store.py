"""The store's in-memory twin, with a disk that outlives it: for simulation and tests."""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgpack

from holdfast_kvstore.errors import Corrupt, NotFound
from holdfast_metanode.state.tables import read_applied
from holdfast_metanode.store.seam import PIECE_BYTES, Checkpoint, Reader, Writer


class MemoryDisk:
    """What survives when a `MemoryStore` is dropped: its newest checkpoint."""

    def __init__(self) -> None:
        self.checkpoint: Checkpoint | None = None
        self.content = b""
        self.staged: dict[int, tuple[Checkpoint, bytes]] = {}


class _Table:
    """A sorted map; `keys` is its order."""

    def __init__(self, items: dict[bytes, bytes]) -> None:
        self.values = items
        self.keys = sorted(items)


class _View:
    def __init__(self, table: _Table) -> None:
        self._table = table
        self._undo: list[tuple[bytes, bytes | None]] = []

    def get(self, key: bytes) -> bytes | None:
        return self._table.values.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        keys = self._table.keys
        start = bisect_left(keys, prefix)
        stop = start
        while stop < len(keys) and keys[stop].startswith(prefix):
            stop += 1
        for key in keys[start:stop]:
            value = self._table.values.get(key)
            if value is not None:
                yield key, value

    def put(self, key: bytes, value: bytes) -> None:
        before = self._table.values.get(key)
        self._undo.append((key, before))
        if before is None:
            insort(self._table.keys, key)
        self._table.values[key] = bytes(value)

    def delete(self, key: bytes) -> None:
        before = self._table.values.pop(key, None)
        if before is not None:
            self._undo.append((key, before))
            del self._table.keys[bisect_left(self._table.keys, key)]

    def undo(self) -> None:
        for key, before in reversed(self._undo):
            if before is not None:
                if key not in self._table.values:
                    insort(self._table.keys, key)
                self._table.values[key] = before
            elif key in self._table.values:
                del self._table.values[key]
                del self._table.keys[bisect_left(self._table.keys, key)]


class MemoryStore:
    """`Store` in memory. Opened from what `disk` holds, as after a loss of power."""

    def __init__(self, disk: MemoryDisk | None = None) -> None:
        self._disk = disk or MemoryDisk()
        self._lock = threading.RLock()
        self._table = _load(self._disk.content)

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """See `Store.read`."""
        with self._lock:
            yield _View(self._table)

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """See `Store.write`."""
        with self._lock:
            view = _View(self._table)
            try:
                yield view
            except BaseException:
                view.undo()
                raise

    def take_checkpoint(self) -> Checkpoint:
        """See `Store.take_checkpoint`."""
        with self._lock:
            applied = read_applied(_View(self._table))
            content: bytes = msgpack.packb(sorted(self._table.values.items()))
            checkpoint = _describe(applied.index, applied.term, content)
            self._disk.checkpoint, self._disk.content = checkpoint, content
            return checkpoint

    def newest_checkpoint(self) -> Checkpoint | None:
        """See `Store.newest_checkpoint`."""
        return self._disk.checkpoint

    def pieces(self, index: int) -> Iterator[bytes]:
        """See `Store.pieces`."""
        checkpoint, content = self._disk.checkpoint, self._disk.content
        if checkpoint is None or checkpoint.index != index:
            raise NotFound(f"there is no checkpoint of index {index} here: ask for a newer one")
        return (content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES))

    def stage(self, checkpoint: Checkpoint, pieces: Iterable[bytes]) -> None:
        """See `Store.stage`."""
        content = b"".join(pieces)
        if _describe(checkpoint.index, checkpoint.term, content) != checkpoint:
            raise Corrupt(f"checkpoint of index {checkpoint.index} did not arrive whole")
        with self._lock:
            self._disk.staged = {checkpoint.index: (checkpoint, content)}

    def install(self, index: int) -> None:
        """See `Store.install`."""
        with self._lock:
            staged = self._disk.staged.pop(index, None)
            if staged is None:
                raise NotFound(f"no checkpoint of index {index} was staged")
            self._disk.checkpoint, self._disk.content = staged
            self._table = _load(self._disk.content)

    def close(self) -> None:
        """See `Store.close`."""


def _load(content: bytes) -> _Table:
    return _Table(dict(msgpack.unpackb(content)) if content else {})


def _describe(index: int, term: int, content: bytes) -> Checkpoint:
    return Checkpoint(index, term, len(content), hashlib.sha256(content).digest())
