"""How `holdfast kv` cuts a file into blocks of a space, and puts it together again.

Each block starts with the file's size, u64 little endian; the rest are the file's bytes in order,
the last block filled up with zeros. Block i has the key "<name>#<i>".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from holdfast._region import Region
from holdfast._space import Space
from holdfast.errors import Corrupt, InvalidArgument, NotFound

HEAD_BYTES = 8
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

    def put(self, file: BinaryIO, nbytes: int) -> Iterator[Stored]:
        """Stores `nbytes` of `file`; answers what it has done after each batch."""
        blocks = self.blocks_of(nbytes)
        stored = present = 0
        with self._space.allocate(min(self.batch, blocks) * self._space.block_bytes) as region:
            for first in range(0, blocks, self.batch):
                count = min(self.batch, blocks - first)
                self._fill(region, file, count, nbytes)
                segments = region.blocks(indices=range(count))
                result = self._space.put(self.keys(first, count), segments, first)
                stored += result.stored
                present += result.present
                yield Stored(first + count, stored, present, nbytes)

    def _fill(self, region: Region, file: BinaryIO, count: int, nbytes: int) -> None:
        memory = memoryview(region.memory)
        size = self._space.block_bytes
        for index in range(count):
            piece = file.read(self.piece_bytes)
            start = index * size
            memory[start : start + HEAD_BYTES] = nbytes.to_bytes(HEAD_BYTES, "little")
            memory[start + HEAD_BYTES : start + HEAD_BYTES + len(piece)] = piece
            memory[start + HEAD_BYTES + len(piece) : start + size] = bytes(
                self.piece_bytes - len(piece)
            )
        memory.release()

    def get(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        """Writes the file's bytes to `file`; answers (bytes so far, bytes of all) after each
        batch. Raises NotFound for the first block that is not stored, Corrupt for blocks that no
        put of this program wrote."""
        done, nbytes, first, blocks = 0, 0, 0, 1
        with self._space.allocate(self.batch * self._space.block_bytes) as region:
            while first < blocks:
                count = 1 if first == 0 else min(self.batch, blocks - first)
                pieces = self._read(region, first, count)
                if first == 0:
                    nbytes = int.from_bytes(pieces[0, :HEAD_BYTES].tobytes(), "little")
                    blocks = self.blocks_of(nbytes)
                for piece in pieces:
                    if int.from_bytes(piece[:HEAD_BYTES].tobytes(), "little") != nbytes:
                        raise Corrupt(f"the blocks of {self._name!r} belong to different files")
                    part = piece[HEAD_BYTES : HEAD_BYTES + min(self.piece_bytes, nbytes - done)]
                    file.write(part.tobytes())
                    done += len(part)
                del pieces
                first += count
                yield done, nbytes

    def _read(
        self, region: Region, first: int, count: int
    ) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        result = self._space.get(self.keys(first, count), region.blocks(indices=range(count)))
        if not result.all_hit:
            missing = first + result.prefix
            why = ", ".join(f"{reason} ({n})" for reason, n in result.reasons.items()) or "absent"
            raise NotFound(f"block {missing} of {self._name!r} was not served: {why}")
        memory = np.frombuffer(region.memory, np.uint8, count * self._space.block_bytes)
        return memory.reshape(count, self._space.block_bytes)
