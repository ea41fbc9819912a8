"""One 64 KiB block: median time of a get against a raw TCP round trip of the same bytes."""

from __future__ import annotations

import time

import numpy as np

from bench.bed import bed, keys, load_set
from bench.figure import Bound, Figure
from bench.raw_peer import SEED, raw_peer
from holdfast_native import RawProbe

BLOCK_BYTES = 64 << 10
BLOCKS = 4096
SPIN_US = 200


def measure(pairs: int, gets_per_sample: int) -> list[Figure]:
    """The ratio under blocking waits (the bound holds there) and under spinning ones."""
    blocking = _ratios(0, pairs, gets_per_sample)
    spinning = _ratios(SPIN_US, pairs, gets_per_sample)
    bound = Bound(1.6, 1.2, False)
    return [
        Figure("get_64kib_p50_vs_raw", "", blocking[0], bound, blocking[1]),
        Figure("get_64kib_p50_vs_raw_spinning", "", spinning[0], bound, spinning[1]),
    ]


def _ratios(spin_us: int, pairs: int, gets: int) -> tuple[list[float], dict[str, str]]:
    with raw_peer(BLOCKS * BLOCK_BYTES) as peer, bed(transport="tcp", spin_us=spin_us) as here:
        space = here.cluster.space("bench-latency", block_bytes=BLOCK_BYTES, create=True)
        load_set(space, BLOCK_BYTES, BLOCKS * BLOCK_BYTES, SEED)
        region = space.allocate(BLOCK_BYTES)
        place = region.blocks(BLOCK_BYTES, range(1))
        all_keys = keys(0, BLOCKS)
        random = np.random.default_rng(SEED)
        probe = RawProbe(peer.address)

        def ours() -> float:
            times: list[int] = []
            for block in random.integers(0, BLOCKS, gets):
                wanted = all_keys[block : block + 1]
                begin = time.perf_counter_ns()
                result = space.get(wanted, place)
                times.append(time.perf_counter_ns() - begin)
                if not result.all_hit:
                    raise RuntimeError(f"a block of the set was not served: {result.reasons}")
            return float(np.median(times)) / 1e3

        def limit() -> float:
            return float(np.median(probe.round_trips(BLOCK_BYTES, gets, spin_us > 0))) / 1e3

        ours()
        limit()
        taken = [(ours(), limit()) for _ in range(pairs)]
    mine = float(np.median([pair[0] for pair in taken]))
    raw = float(np.median([pair[1] for pair in taken]))
    beside = {"ours": f"{mine:.0f} us", "limit": f"{raw:.0f} us"}
    return [pair[0] / pair[1] for pair in taken], beside
