"""The store on LMDB: a live environment for the process's life, checkpoints for longer.

The live environment is never synced. That is safe for a crash of the process (the kernel keeps
what was written) but not for a loss of power, so it notes the boot of the machine that wrote it;
found under another boot it is thrown away, and the state is the newest checkpoint again, which
the Raft log continues. docs/decisions/0007-metadata-node.md has the reasons.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import lmdb

from holdfast_kvstore.errors import Closed, Corrupt, NotFound
from holdfast_metanode.state.tables import read_applied
from holdfast_metanode.store.seam import PIECE_BYTES, Checkpoint, Reader, Writer

_LIVE = "live-"
_CHECKPOINT = "checkpoint-"
_INCOMING = "incoming-"
_PARTIAL = ".partial"
_DATA = "data.mdb"
_BOOT = "BOOT"
_READERS_MAX = 512


def machine_boot_id() -> str:
    """Names this boot of this machine's kernel."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class _View:
    """`Reader` and `Writer` over one LMDB transaction."""

    __slots__ = ("_transaction",)

    def __init__(self, transaction: lmdb.Transaction[bytes]) -> None:
        self._transaction = transaction

    def get(self, key: bytes) -> bytes | None:
        return self._transaction.get(key)

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        with self._transaction.cursor() as cursor:
            if not cursor.set_range(prefix):
                return
            for key, value in cursor.iternext():
                if not key.startswith(prefix):
                    return
                yield key, value

    def put(self, key: bytes, value: bytes) -> None:
        self._transaction.put(key, value)

    def delete(self, key: bytes) -> None:
        self._transaction.delete(key)


class _Live:
    """An open environment that closes when it was retired and its last reader has left."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self.folder = folder
        self.environment = lmdb.open(
            str(folder),
            map_size=bytes_max,
            sync=False,
            metasync=False,
            max_readers=_READERS_MAX,
            readahead=False,
        )
        self._lock = threading.Lock()
        self._readers = 0
        self._retired = False

    def enter(self) -> bool:
        with self._lock:
            if not self._retired:
                self._readers += 1
                return True
            return False

    def leave(self) -> None:
        with self._lock:
            self._readers -= 1
            last = self._retired and self._readers == 0
        if last:
            self.environment.close()

    def retire(self) -> None:
        with self._lock:
            was_retired, self._retired = self._retired, True
            idle = self._readers == 0
        if idle and not was_retired:
            self.environment.close()


class LmdbStore:
    """`Store` in a folder.

    `bytes_max`: largest size of the state, address space only. Raises Corrupt when neither a live
    environment nor a checkpoint can be read.
    """

    def __init__(self, folder: Path, bytes_max: int, boot_id: str | None = None) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._boot_id = machine_boot_id() if boot_id is None else boot_id
        self._closed = False
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"*{_PARTIAL}"):
            shutil.rmtree(leftover)
        for leftover in folder.glob(f"{_INCOMING}*"):
            shutil.rmtree(leftover)
        self._checkpoint = self._find_checkpoint()
        self._live = self._open_live()

    # ------------------------------------------------------------------------ transactions

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """See `Store.read`. Raises Closed."""
        live = self._live
        while not live.enter():
            if self._closed:
                raise Closed("the metadata store is closed")
            live = self._live
        try:
            with live.environment.begin(buffers=False) as transaction:
                yield _View(transaction)
        finally:
            live.leave()

    @contextmanager
    def write(self) -> Iterator[Writer]:
        """See `Store.write`."""
        with self._live.environment.begin(write=True) as transaction:
            yield _View(transaction)

    # ------------------------------------------------------------------------ checkpoints

    def take_checkpoint(self) -> Checkpoint:
        """See `Store.take_checkpoint`."""
        live = self._live
        if not live.enter():
            raise Closed("the metadata store is closed")
        partial = self._folder / f"{_CHECKPOINT}next{_PARTIAL}"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            live.environment.copy(str(partial), compact=True)
        finally:
            live.leave()
        checkpoint = _describe(partial)
        self._publish(partial, checkpoint)
        return checkpoint

    def newest_checkpoint(self) -> Checkpoint | None:
        """See `Store.newest_checkpoint`."""
        return self._checkpoint

    def pieces(self, index: int) -> Iterator[bytes]:
        """See `Store.pieces`."""
        try:
            # Opened now, not at the first piece: it stays readable when it is replaced.
            file = (self._folder / f"{_CHECKPOINT}{index}" / _DATA).open("rb")
        except FileNotFoundError:
            raise NotFound(
                f"there is no checkpoint of index {index} here: ask for a newer one"
            ) from None
        return _read_pieces(file)

    def stage(self, checkpoint: Checkpoint, pieces: Iterable[bytes]) -> None:
        """See `Store.stage`."""
        partial = self._folder / f"{_INCOMING}{checkpoint.index}{_PARTIAL}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        digest, length = hashlib.sha256(), 0
        with (partial / _DATA).open("wb") as file:
            for piece in pieces:
                file.write(piece)
                digest.update(piece)
                length += len(piece)
                if length > checkpoint.length_bytes:
                    break
            file.flush()
            os.fsync(file.fileno())
        if length != checkpoint.length_bytes or digest.digest() != checkpoint.sha256:
            shutil.rmtree(partial)
            raise Corrupt(
                f"checkpoint of index {checkpoint.index} did not arrive whole: {length} of "
                f"{checkpoint.length_bytes} bytes: fetch it again"
            )
        incoming = self._folder / f"{_INCOMING}{checkpoint.index}"
        shutil.rmtree(incoming, ignore_errors=True)
        partial.rename(incoming)

    def install(self, index: int) -> None:
        """See `Store.install`."""
        incoming = self._folder / f"{_INCOMING}{index}"
        if not incoming.is_dir():
            raise NotFound(f"no checkpoint of index {index} was staged")
        self._publish(incoming, _describe(incoming))
        retired, self._live = self._live, self._live_from_checkpoint()
        retired.retire()
        shutil.rmtree(retired.folder, ignore_errors=True)

    def close(self) -> None:
        """See `Store.close`."""
        self._closed = True
        self._live.retire()

    # ------------------------------------------------------------------------ folders

    def _publish(self, folder: Path, checkpoint: Checkpoint) -> None:
        """Gives a complete copy its name; only then are older checkpoints dropped."""
        _sync(folder / _DATA)
        _sync(folder)
        target = self._folder / f"{_CHECKPOINT}{checkpoint.index}"
        if target.exists():
            shutil.rmtree(folder)  # the same index holds the same state
        else:
            folder.rename(target)
        _sync(self._folder)
        self._checkpoint = checkpoint
        for older in self._checkpoints()[:-1]:
            shutil.rmtree(older)

    def _checkpoints(self) -> list[Path]:
        found = [path for path in self._folder.glob(f"{_CHECKPOINT}*") if path.suffix != _PARTIAL]
        return sorted(found, key=lambda path: int(path.name.removeprefix(_CHECKPOINT)))

    def _find_checkpoint(self) -> Checkpoint | None:
        found = self._checkpoints()
        if not found:
            return None
        for older in found[:-1]:
            shutil.rmtree(older)
        return _describe(found[-1])

    def _open_live(self) -> _Live:
        found = sorted(self._folder.glob(f"{_LIVE}*"), key=_live_number)
        for folder in reversed(found):
            if self._trusted(folder):
                live = _Live(folder, self._bytes_max)
                if self._continues(live):
                    for other in found:
                        if other != folder:
                            shutil.rmtree(other)
                    return live
                live.retire()
        live = self._live_from_checkpoint()
        for folder in found:
            shutil.rmtree(folder)
        return live

    def _trusted(self, folder: Path) -> bool:
        """Whether the kernel that wrote it still runs: then nothing that was written is lost."""
        try:
            return (folder / _BOOT).read_text() == self._boot_id
        except FileNotFoundError:
            return False  # a copy that a crash interrupted

    def _continues(self, live: _Live) -> bool:
        """False for what an install interrupted by a crash left behind."""
        if self._checkpoint is None:
            return True
        with live.environment.begin() as transaction:
            return read_applied(_View(transaction)).index >= self._checkpoint.index

    def _live_from_checkpoint(self) -> _Live:
        numbers = [_live_number(path) for path in self._folder.glob(f"{_LIVE}*")]
        folder = self._folder / f"{_LIVE}{max(numbers, default=0) + 1}"
        folder.mkdir()
        if self._checkpoint is not None:
            source = self._folder / f"{_CHECKPOINT}{self._checkpoint.index}" / _DATA
            shutil.copyfile(source, folder / _DATA)
        live = _Live(folder, self._bytes_max)
        (folder / _BOOT).write_text(self._boot_id)
        return live


def _live_number(folder: Path) -> int:
    return int(folder.name.removeprefix(_LIVE))


def _read_pieces(file: BinaryIO) -> Iterator[bytes]:
    with file as opened:
        while piece := opened.read(PIECE_BYTES):
            yield piece


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _describe(folder: Path) -> Checkpoint:
    """Reads a copy's position from itself. Raises Corrupt when it cannot be read."""
    try:
        environment = lmdb.open(str(folder), readonly=True, lock=False, create=False)
        with environment.begin() as transaction:
            applied = read_applied(_View(transaction))
        environment.close()
    except lmdb.Error as error:
        raise Corrupt(
            f"checkpoint {folder} cannot be read ({error}): remove this member from the cluster "
            "and let it join again with an empty data folder"
        ) from error
    digest = hashlib.sha256()
    with (folder / _DATA).open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return Checkpoint(applied.index, applied.term, (folder / _DATA).stat().st_size, digest.digest())
