"""How `holdfast kv` cuts a file into blocks of a space, and puts it together again.

Each block starts with a head: the file's size, u64 little endian, and the BLAKE2b digest of all its
bytes, 16 bytes; the rest are the file's bytes in order, the last block filled up with zeros.
Block i has the key "<name>#<i>". The digest keeps blocks of two files of one name apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from holdfast._region import Region
from holdfast._space import Space
from holdfast._status import Status
from holdfast.errors import (
    AlreadyExists,
    Corrupt,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)

SIZE_BYTES = 8
DIGEST_BYTES = 16
HEAD_BYTES = SIZE_BYTES + DIGEST_BYTES
BATCH_BYTES = 32 << 20
"""Memory for one batch of blocks."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a put did."""

    blocks: int
    stored: int
    present: int
    nbytes: int


class StoredFile:
    """One file in a space, by its name. Raises InvalidArgument for blocks too small for it."""

    def __init__(self, space: Space, name: str) -> None:
        if space.block_bytes <= HEAD_BYTES:
            raise InvalidArgument(
                f"space {space.name!r} has blocks of {space.block_bytes} bytes, files need more "
                f"than {HEAD_BYTES}"
            )
        self._space = space
        self._name = name
        self.piece_bytes = space.block_bytes - HEAD_BYTES
        self.batch = max(1, BATCH_BYTES // space.block_bytes)

    def keys(self, first: int, count: int) -> list[bytes]:
        """Keys of blocks `first` and following."""
        return [f"{self._name}#{index}".encode() for index in range(first, first + count)]

    def blocks_of(self, nbytes: int) -> int:
        """Blocks that a file of this size takes; an empty one takes one, too."""
        return max(1, -(-nbytes // self.piece_bytes))

    def put(self, file: BinaryIO) -> Iterator[Stored]:
        """Stores the bytes of a file that can be sought in; answers what it has done after each
        batch. Reads it twice, a batch at a time.

        Raises AlreadyExists if blocks of another file lie under this name, and
        FailedPrecondition if the file has changed between the two times.
        """
        nbytes, digest = _size_and_digest(file)
        head = nbytes.to_bytes(SIZE_BYTES, "little") + digest
        blocks = self.blocks_of(nbytes)
        again = hashlib.blake2b(digest_size=DIGEST_BYTES)
        file.seek(0)
        stored = present = 0
        with self._space.allocate(min(self.batch, blocks) * self._space.block_bytes) as region:
            # Asked first, so that a refused put leaves nothing behind in the usual case.
            self._same_file(region, 0, [0], head)
            for first in range(0, blocks, self.batch):
                count = min(self.batch, blocks - first)
                self._fill(region, file, head, count, again)
                segments = region.blocks(indices=range(count))
                result = self._space.put(self.keys(first, count), segments, first)
                there = np.flatnonzero(result.mask_of(Status.PRESENT)).tolist()
                stored += result.stored
                present += self._same_file(region, first, there, head)
                if first + count == blocks and again.digest() != digest:
                    raise FailedPrecondition(
                        f"the file was written to while it was put as {self._name!r}: "
                        f"`holdfast kv delete {self._space.name} {self._name}`, then put it again"
                    )
                yield Stored(first + count, stored, present, nbytes)

    def _same_file(self, region: Region, first: int, there: Sequence[int], head: bytes) -> int:
        """How many of the blocks `first` + `there` are stored with this head. Raises AlreadyExists
        for one with another head. Overwrites the region."""
        if not there:
            return 0
        keys = [self.keys(first + index, 1)[0] for index in there]
        result = self._space.get(keys, region.blocks(indices=range(len(keys))))
        blocks = self._blocks_in(region, len(keys))
        for index in np.flatnonzero(result.hit_mask):
            if blocks[index, :HEAD_BYTES].tobytes() != head:
                raise AlreadyExists(
                    f"{self._name!r} holds another file in space {self._space.name!r}: "
                    f"`holdfast kv delete {self._space.name} {self._name}` first, or choose "
                    "another name"
                )
        return result.hits

    def _fill(
        self, region: Region, file: BinaryIO, head: bytes, count: int, digest: hashlib.blake2b
    ) -> None:
        blocks = self._blocks_in(region, count)
        blocks[:, :HEAD_BYTES] = np.frombuffer(head, np.uint8)
        pieces = file.read(count * self.piece_bytes)
        digest.update(pieces)
        filled = pieces.ljust(count * self.piece_bytes, b"\0")
        blocks[:, HEAD_BYTES:] = np.frombuffer(filled, np.uint8).reshape(count, self.piece_bytes)

    def get(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        """Writes the file's bytes to `file`; answers (bytes so far, bytes of all) after each
        batch. Raises NotFound for the first block that is not stored, Corrupt for blocks that no
        put of this program wrote, or that two puts of different files wrote."""
        head, done, nbytes, first, blocks = b"", 0, 0, 0, 1
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        with self._space.allocate(self.batch * self._space.block_bytes) as region:
            while first < blocks:
                count = 1 if first == 0 else min(self.batch, blocks - first)
                pieces = self._read(region, first, count)
                if first == 0:
                    head = pieces[0, :HEAD_BYTES].tobytes()
                    nbytes = int.from_bytes(head[:SIZE_BYTES], "little")
                    blocks = self.blocks_of(nbytes)
                for piece in pieces:
                    if piece[:HEAD_BYTES].tobytes() != head:
                        raise Corrupt(
                            f"the blocks of {self._name!r} belong to different files: "
                            "`holdfast kv delete` it and put it again"
                        )
                    part = piece[HEAD_BYTES : HEAD_BYTES + min(self.piece_bytes, nbytes - done)]
                    digest.update(part.tobytes())
                    file.write(part.tobytes())
                    done += len(part)
                del pieces
                first += count
                yield done, nbytes
        if digest.digest() != head[SIZE_BYTES:]:
            raise Corrupt(f"the blocks of {self._name!r} are not those of the file that was put")

    def _read(
        self, region: Region, first: int, count: int
    ) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        result = self._space.get(self.keys(first, count), region.blocks(indices=range(count)))
        if not result.all_hit:
            if first == 0 and set(result.reasons) == {"absent"}:
                raise NotFound(
                    f"nothing is stored under {self._name!r} in space {self._space.name!r}"
                )
            missing = first + result.prefix
            why = ", ".join(f"{reason} ({n})" for reason, n in result.reasons.items()) or "absent"
            raise NotFound(f"block {missing} of {self._name!r} was not served: {why}")
        return self._blocks_in(region, count)

    def _blocks_in(
        self, region: Region, count: int
    ) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        memory = np.frombuffer(region.memory, np.uint8, count * self._space.block_bytes)
        return memory.reshape(count, self._space.block_bytes)


def _size_and_digest(file: BinaryIO) -> tuple[int, bytes]:
    file.seek(0)
    digest, nbytes = hashlib.blake2b(digest_size=DIGEST_BYTES), 0
    while piece := file.read(BATCH_BYTES):
        digest.update(piece)
        nbytes += len(piece)
    return nbytes, digest.digest()
