"""Erasure-coded blocks on six data nodes: batches of 32 x 1 MiB under ec:4+2."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

import holdfast
from bench.batches import (
    BATCH_BYTES,
    BLOCK_BYTES,
    IN_FLIGHT,
    all_hit,
    all_stored,
    best_sizes,
    pipelined,
    places,
)
from bench.bed import BATCH, SET_BYTES, Bed, bed, keys, load_set, source
from bench.figure import Bound, Figure
from bench.pairs import Pairs, Sample, alternate
from bench.raw_peer import SEED, PeerProcess, raw_peer
from holdfast_native import RawProbe

DATA, PARITY = 4, 2
DATA_NODES = DATA + PARITY
REDUNDANCY = f"ec:{DATA}+{PARITY}"
SET = SET_BYTES // 2
ARENA_MIB = 512
LANES = 2
"""Connections to each node: what clients have unless told otherwise."""
HELD_IN_MAP_MS = 600_000
"""A node that stands still is not marked down: clients have to do without the map's help."""
WARM_UP = 16
"""Batches after which a client knows how fast its nodes are."""


def measure(pairs: int, sample_bytes: int, latencies: int) -> list[Figure]:
    """Figures of put, of get with all nodes, with one dead, and with one that stands still."""
    with (
        raw_peer(SET_BYTES) as peer,
        bed(
            transport="tcp",
            lanes=LANES,
            data_nodes=DATA_NODES,
            arena_mib=ARENA_MIB,
            down_after_ms=HELD_IN_MAP_MS,
        ) as here,
    ):
        space = _space(here, "stripes")
        reader = _Reader(space, load_set(space, BLOCK_BYTES, SET, SEED))
        get = _get_pairs(here, reader, peer, pairs, sample_bytes)
        stalled = _stalled(here, reader, pairs, latencies)
        degraded = _degraded(here, reader, pairs, sample_bytes)
    with (
        raw_peer(SET_BYTES) as peer,
        bed(transport="tcp", lanes=LANES, data_nodes=DATA_NODES, arena_mib=ARENA_MIB) as here,
    ):
        put = _put_pairs(here, peer, pairs, sample_bytes)
    return [put, get, degraded, stalled]


def _space(here: Bed, name: str) -> holdfast.Space:
    return here.cluster.space(name, block_bytes=BLOCK_BYTES, redundancy=REDUNDANCY, create=True)


class _Reader:
    """Random batches of a set that is stored."""

    def __init__(self, space: holdfast.Space, blocks: int) -> None:
        self.memory = np.zeros(IN_FLIGHT * BATCH_BYTES, np.uint8)
        self._space = space
        self._places = places(space, self.memory)
        self._keys = keys(0, blocks)
        self._random = np.random.default_rng(SEED)

    def start(self, turn: int) -> holdfast.Pending[holdfast.GetResult]:
        """Starts a batch."""
        return self._space.futures.get(self._batch(), self._places[turn % IN_FLIGHT])

    def latencies_s(self, batches: int) -> npt.NDArray[np.float64]:
        """float64[batches]: how long one batch takes, one after the other."""
        seconds = np.empty(batches)
        for turn in range(batches):
            wanted = self._batch()
            begin = time.perf_counter()
            all_hit(self._space.get(wanted, self._places[0]))
            seconds[turn] = time.perf_counter() - begin
        return seconds

    def _batch(self) -> npt.NDArray[np.uint8]:
        return self._keys[self._random.integers(0, len(self._keys), BATCH)]


def _get_pairs(
    here: Bed, reader: _Reader, peer: PeerProcess, pairs: int, sample_bytes: int
) -> Figure:
    probe = RawProbe(peer.address)
    memory = reader.memory.data
    sizes = best_sizes(lambda size: probe.receive(memory, sample_bytes // 4, size.read, size.write))

    def ours() -> Sample:
        return pipelined(reader.start, sample_bytes, here.node_pids, all_hit)

    def limit() -> Sample:
        return Sample(sample_bytes, probe.receive(memory, sample_bytes, sizes.read, sizes.write))

    taken = alternate(ours, limit, pairs)
    return _figure("ec_get_vs_raw", taken, taken.rate_ratios(), Bound(0.7, 0.9))


def _put_pairs(here: Bed, peer: PeerProcess, pairs: int, sample_bytes: int) -> Figure:
    """Each put stores new blocks into full arenas, so eviction is part of it."""
    space = _space(here, "stripes-put")
    memory = source(IN_FLIGHT * BATCH_BYTES, SEED)
    blocks_of = places(space, memory)
    written = 0

    def start(turn: int) -> holdfast.Pending[holdfast.PutResult]:
        nonlocal written
        written += BATCH
        return space.futures.put(keys(written, BATCH), blocks_of[turn % IN_FLIGHT])

    def ours() -> Sample:
        return pipelined(start, sample_bytes, here.node_pids, all_stored)

    probe = RawProbe(peer.address)
    sizes = best_sizes(
        lambda size: probe.send(memory.data, sample_bytes // 4, size.read, size.write)
    )

    def limit() -> Sample:
        return Sample(sample_bytes, probe.send(memory.data, sample_bytes, sizes.read, sizes.write))

    taken = alternate(ours, limit, pairs)
    # Of what is sent, k bytes of k + m are the caller's.
    ratios = [ratio * DATA_NODES / DATA for ratio in taken.rate_ratios()]
    return _figure("ec_put_vs_limit", taken, ratios, Bound(0.6, 0.8))


def _degraded(here: Bed, reader: _Reader, pairs: int, sample_bytes: int) -> Figure:
    """The same client before and after a node is killed; its chunks are computed from others."""

    def sample() -> Sample:
        return pipelined(reader.start, sample_bytes, (), all_hit)

    healthy = [sample() for _ in range(pairs)]
    here.local.data_nodes[0].kill()
    pipelined(reader.start, WARM_UP * BATCH_BYTES, (), all_hit)
    degraded = [sample() for _ in range(pairs)]
    taken = Pairs(tuple(degraded), tuple(healthy))
    return _figure(
        "ec_get_degraded_vs_healthy", taken, taken.rate_ratios(), Bound(0.7, 0.9), "healthy"
    )


def _stalled(here: Bed, reader: _Reader, pairs: int, latencies: int) -> Figure:
    """99th percentiles of a batch with all nodes, and with one that stands still."""
    pipelined(reader.start, WARM_UP * BATCH_BYTES, (), all_hit)
    ratios, healthy_s, stalled_s = [], [], []
    for turn in range(pairs):
        healthy_s.append(_p99(reader.latencies_s(latencies)))
        with _stopped(here.node_pids[turn % DATA_NODES]):
            stalled_s.append(_p99(reader.latencies_s(latencies)))
        ratios.append(stalled_s[-1] / healthy_s[-1])
        _wait_for_all(here, reader)
    beside = {
        "ours": f"{np.median(stalled_s) * 1e3:.1f} ms",
        "healthy": f"{np.median(healthy_s) * 1e3:.1f} ms",
    }
    return Figure("ec_get_p99_one_stalled_vs_healthy", "", ratios, Bound(2, 1.3, False), beside)


def _p99(seconds: npt.NDArray[np.float64]) -> float:
    return float(np.quantile(seconds, 0.99))


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _wait_for_all(here: Bed, reader: _Reader) -> None:
    """Reads until nothing has to be computed: every node is asked again."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        before = here.cluster.stats()["stripes_computed"]
        reader.latencies_s(1)
        if here.cluster.stats()["stripes_computed"] == before:
            return
    raise RuntimeError("a node that goes on is not asked again within 30 s")


def _figure(
    name: str, taken: Pairs, ratios: list[float], bound: Bound, limit: str = "limit"
) -> Figure:
    beside = taken.rates_beside("GB/s", 1e-9)
    beside[limit] = beside.pop("limit")
    return Figure(name, "", ratios, bound, beside)
