"""Batches of 32 x 1 MiB over shared memory, verified, against memcpy of the same blocks."""

from __future__ import annotations

import time

import numpy as np

from bench.bed import BATCH, MIB, SET_BYTES, bed, keys, load_set, source
from bench.figure import Bound, Figure
from bench.pairs import Sample, alternate
from bench.raw_peer import SEED
from holdfast_native import raw_copy

BLOCK_BYTES = MIB


def measure(pairs: int, sample_bytes: int) -> list[Figure]:
    """The ratio of get to memcpy."""
    with bed(transport="shm") as here:
        space = here.cluster.space("bench-shm", block_bytes=BLOCK_BYTES, create=True)
        blocks = load_set(space, BLOCK_BYTES, SET_BYTES, SEED)
        region = space.allocate(BATCH * BLOCK_BYTES)
        place = region.blocks(BLOCK_BYTES, range(BATCH))
        all_keys = keys(0, blocks)
        random = np.random.default_rng(SEED)
        batches = sample_bytes // (BATCH * BLOCK_BYTES)

        def ours() -> Sample:
            picks = [all_keys[random.integers(0, blocks, BATCH)] for _ in range(batches)]
            begin = time.perf_counter()
            for wanted in picks:
                result = space.get(wanted, place)
                if not result.all_hit:
                    raise RuntimeError(f"a block of the set was not served: {result.reasons}")
            return Sample(batches * BATCH * BLOCK_BYTES, time.perf_counter() - begin)

        original = source(SET_BYTES, SEED)
        destination = np.empty(BATCH * BLOCK_BYTES, np.uint8)

        def limit() -> Sample:
            order = random.integers(0, blocks, batches * BATCH).tolist()
            seconds = raw_copy(original.data, destination.data, BLOCK_BYTES, order)
            return Sample(batches * BATCH * BLOCK_BYTES, seconds)

        taken = alternate(ours, limit, pairs)
    return [
        Figure(
            "get_1mib_shm_vs_memcpy",
            "",
            taken.rate_ratios(),
            Bound(0.65, 0.85),
            taken.rates_beside("GB/s", 1e-9),
        )
    ]
