"""Many calls under way at once, every byte checked, every duration noted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from types import TracebackType

import numpy as np
import numpy.typing as npt

import holdfast
from holdfast.local_cluster.waiting import wait_for

KEY_WORDS = 2
IN_FLIGHT = 16
BATCH = 16
BLOCKS = 1024


def keys_of(first: int, count: int) -> npt.NDArray[np.uint8]:
    """uint8[count, 16]: keys of blocks `first` and following."""
    numbers = np.zeros((count, KEY_WORDS), "<u8")
    numbers[:, 0] = np.arange(first, first + count)
    return numbers.view(np.uint8).reshape(count, 8 * KEY_WORDS)


def fill(block: int, memory: npt.NDArray[np.uint8]) -> None:
    """The bytes that belong to block `block`: a pattern that differs in every word."""
    words = memory.view("<u8")
    words[:] = np.arange(len(words), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words ^= np.uint64(block * 0xC2B2AE3D27D4EB4F % 2**64)


class Load:
    """Runs `IN_FLIGHT` loops of match, get and put on a thread until it is left."""

    def __init__(self, space: holdfast.Space, deadline_s: float = 2.0) -> None:
        self.deadline_s = deadline_s
        self.longest_s = 0.0
        self.calls = 0
        self.hits = 0
        self.wrong_blocks = 0
        self.reasons: Counter[str] = Counter()
        self.errors: list[str] = []
        self._space = space
        self._stopping = False
        self._expected = np.zeros((BLOCKS, space.block_bytes), np.uint8)
        for block in range(BLOCKS):
            fill(block, self._expected[block])
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    async def _all(self) -> None:
        await asyncio.gather(*(self._loop(number) for number in range(IN_FLIGHT)))

    async def _loop(self, number: int) -> None:
        random = np.random.default_rng(number)
        with self._space.allocate(BATCH * self._space.block_bytes) as region:
            memory = np.frombuffer(region.memory, np.uint8).reshape(BATCH, -1)
            segments = region.blocks()
            while not self._stopping:
                first = int(random.integers(0, BLOCKS // BATCH)) * BATCH
                start = time.monotonic()
                try:
                    await self._turn(first, memory, segments)
                except Exception as error:
                    self.errors.append(repr(error))
                    return
                self.longest_s = max(self.longest_s, time.monotonic() - start)
                self.calls += 1
            del memory

    async def _turn(
        self, first: int, memory: npt.NDArray[np.uint8], segments: holdfast.Segments
    ) -> None:
        """One get; what was missing is put, as one call within the same deadline."""
        end = time.monotonic() + self.deadline_s
        found = await self._space.aio.get(keys_of(first, BATCH), segments, deadline=self.deadline_s)
        self.reasons.update(found.reasons)
        hits = found.hit_mask
        self.hits += int(hits.sum())
        right = (memory == self._expected[first : first + BATCH]).all(axis=1)
        self.wrong_blocks += int((hits & ~right).sum())
        left = end - time.monotonic()
        if hits.all() or left <= 0.01:
            return
        memory[:] = self._expected[first : first + BATCH]
        put = await self._space.aio.put(
            keys_of(first, BATCH), segments, first_position=first, deadline=left
        )
        self.reasons.update(put.reasons)

    def served_since(self, calls: int, hits: int) -> bool:
        """Whether calls went on and something was hit after an earlier moment."""
        return self.calls > calls + 4 * IN_FLIGHT and self.hits > hits

    def wait_until_it_serves(self, deadline_s: float = 30) -> None:
        """Waits until calls end and blocks are hit from now on."""
        calls, hits = self.calls, self.hits
        wait_for("served blocks", lambda: self.errors or self.served_since(calls, hits), deadline_s)

    def check(self) -> None:
        """Nothing wrong, nothing raised, nothing late."""
        assert self.errors == []
        assert self.wrong_blocks == 0
        assert self.hits > 0
        assert self.longest_s <= self.deadline_s + 2, self.longest_s

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping = True
        self._thread.join(30)
        assert not self._thread.is_alive(), "a call hangs past its deadline"
