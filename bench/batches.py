"""Batches of 32 x 1 MiB with some of them under way, and the raw stream beside them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

import holdfast
from bench.bed import BATCH, MIB
from bench.cpu import cpu_seconds
from bench.pairs import Sample

R = TypeVar("R")

BLOCK_BYTES = MIB
BATCH_BYTES = BATCH * BLOCK_BYTES
IN_FLIGHT = 2
READ_SIZES = (128 << 10, 256 << 10, 1 << 20)
WRITE_SIZES = (256 << 10, 1 << 20, 4 << 20)


@dataclass(frozen=True)
class RawSizes:
    """The read and write size with which one raw stream is fastest just now, bytes."""

    read: int
    write: int


def places(space: holdfast.Space, memory: npt.NDArray[np.uint8]) -> list[holdfast.Segments]:
    """The blocks of each call under way. Both sides use the same memory: pages of another size
    would be a difference of their own."""
    region = space.register(memory)
    return [
        region.blocks(BLOCK_BYTES, range(first, first + BATCH))
        for first in range(0, IN_FLIGHT * BATCH, BATCH)
    ]


def pipelined(
    start: Callable[[int], holdfast.Pending[R]],
    sample_bytes: int,
    node_pids: Sequence[int],
    check: Callable[[R], None],
) -> Sample:
    """Runs batches with `IN_FLIGHT` of them under way."""
    pids = (None, *node_pids)
    cpu = sum(cpu_seconds(pid) for pid in pids)
    begin = time.perf_counter()
    pending: deque[holdfast.Pending[R]] = deque()
    batches = sample_bytes // BATCH_BYTES
    for turn in range(batches):
        if len(pending) == IN_FLIGHT:
            check(pending.popleft().result())
        pending.append(start(turn))
    while pending:
        check(pending.popleft().result())
    seconds = time.perf_counter() - begin
    spent = sum(cpu_seconds(pid) for pid in pids) - cpu
    return Sample(batches * BATCH_BYTES, seconds, spent)


def best_sizes(seconds_with: Callable[[RawSizes], float]) -> RawSizes:
    """The sizes with which `seconds_with` answers the shortest time."""
    sizes: Sequence[RawSizes] = [
        RawSizes(read, write) for read in READ_SIZES for write in WRITE_SIZES
    ]
    return min(sizes, key=lambda size: min(seconds_with(size) for _ in range(2)))


def all_hit(result: holdfast.GetResult) -> None:
    """Raises RuntimeError unless every block was served."""
    if not result.all_hit:
        raise RuntimeError(f"blocks of the set were not served: {result.reasons}")


def all_stored(result: holdfast.PutResult) -> None:
    """Raises RuntimeError unless every block of a batch was stored."""
    if result.stored != BATCH:
        raise RuntimeError(f"blocks were not stored: {result.reasons}")
