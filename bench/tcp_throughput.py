"""Batches of 32 x 1 MiB over TCP against one raw TCP stream of the same source."""

from __future__ import annotations

import numpy as np

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
from bench.cpu import cpu_seconds
from bench.figure import Bound, Figure
from bench.pairs import Pairs, Sample, alternate
from bench.raw_peer import SEED, PeerProcess, raw_peer
from holdfast_native import RawProbe


def measure(pairs: int, sample_bytes: int) -> list[Figure]:
    """Figures of get, its CPU, and put."""
    with raw_peer(SET_BYTES) as peer, bed(transport="tcp") as here:
        space = here.cluster.space("bench-tcp", block_bytes=BLOCK_BYTES, create=True)
        blocks = load_set(space, BLOCK_BYTES, SET_BYTES, SEED)
        get = _get_pairs(here, space, peer, blocks, pairs, sample_bytes)
        put = _put_pairs(here, peer, pairs, sample_bytes)
    beside = get.rates_beside("GB/s", 1e-9)
    ours_cpu = float(np.median([sample.cpu_s / sample.amount for sample in get.ours])) * 1e9
    raw_cpu = float(np.median([sample.cpu_s / sample.amount for sample in get.limit])) * 1e9
    cpu_beside = {"ours": f"{ours_cpu:.3f} s/GB", "limit": f"{raw_cpu:.3f} s/GB"}
    return [
        Figure("get_1mib_tcp_vs_raw", "", get.rate_ratios(), Bound(0.90, 1.0), beside),
        Figure("get_cpu_vs_raw", "", get.cpu_ratios(), Bound(1.3, 1.1, False), cpu_beside),
        Figure(
            "put_1mib_tcp_vs_raw",
            "",
            put.rate_ratios(),
            Bound(0.80, 0.95),
            put.rates_beside("GB/s", 1e-9),
        ),
    ]


def _get_pairs(
    here: Bed, space: holdfast.Space, peer: PeerProcess, blocks: int, pairs: int, sample_bytes: int
) -> Pairs:
    destination = np.empty(IN_FLIGHT * BATCH_BYTES, np.uint8)
    destination[:] = 0
    blocks_of = places(space, destination)
    random = np.random.default_rng(SEED)
    all_keys = keys(0, blocks)

    def start(turn: int) -> holdfast.Pending[holdfast.GetResult]:
        wanted = all_keys[random.integers(0, blocks, BATCH)]
        return space.futures.get(wanted, blocks_of[turn % IN_FLIGHT])

    def ours() -> Sample:
        return pipelined(start, sample_bytes, here.node_pids, all_hit)

    probe = RawProbe(peer.address)
    sizes = best_sizes(
        lambda size: probe.receive(destination.data, sample_bytes // 4, size.read, size.write)
    )

    def limit() -> Sample:
        cpu = cpu_seconds() + cpu_seconds(peer.pid)
        seconds = probe.receive(destination.data, sample_bytes, sizes.read, sizes.write)
        spent = cpu_seconds() + cpu_seconds(peer.pid) - cpu
        return Sample(sample_bytes, seconds, spent)

    return alternate(ours, limit, pairs)


def _put_pairs(here: Bed, peer: PeerProcess, pairs: int, sample_bytes: int) -> Pairs:
    """Each put stores new blocks into a full arena, so eviction is part of it."""
    space = here.cluster.space("bench-tcp-put", block_bytes=BLOCK_BYTES, create=True)
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

    return alternate(ours, limit, pairs)
