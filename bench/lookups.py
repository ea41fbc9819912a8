"""exists in batches of 256, four in flight on one connection, half of the keys absent."""

from __future__ import annotations

import time
from collections import deque

import numpy as np

import holdfast
from bench.bed import bed, keys, load_set
from bench.figure import Bound, Figure
from bench.raw_peer import SEED

BLOCK_BYTES = 4 << 10
BLOCKS = 200_000
BATCH = 256
IN_FLIGHT = 4


def measure(samples: int, batches_per_sample: int) -> list[Figure]:
    """Million keys a second through the public API."""
    with bed(transport="tcp", arena_mib=1536) as here:
        space = here.cluster.space("bench-lookups", block_bytes=BLOCK_BYTES, create=True)
        load_set(space, BLOCK_BYTES, BLOCKS * BLOCK_BYTES, SEED)
        all_keys = keys(0, 2 * BLOCKS)
        random = np.random.default_rng(SEED)
        picks = [all_keys[random.integers(0, 2 * BLOCKS, BATCH)] for _ in range(512)]

        def once() -> float:
            found = 0
            begin = time.perf_counter()
            pending: deque[holdfast.Pending[holdfast.ExistsResult]] = deque()
            for turn in range(batches_per_sample):
                if len(pending) == IN_FLIGHT:
                    found += pending.popleft().result().count
                pending.append(space.futures.exists(picks[turn % len(picks)]))
            while pending:
                found += pending.popleft().result().count
            seconds = time.perf_counter() - begin
            share = found / (batches_per_sample * BATCH)
            if not 0.4 < share < 0.6:
                raise RuntimeError(f"{share:.2f} of the keys were found, half was expected")
            return batches_per_sample * BATCH / seconds / 1e6

        once()
        values = [once() for _ in range(samples)]
    return [Figure("exists_mkeys_per_s", "M/s", values, Bound(2, 5), {"batch": str(BATCH)})]
