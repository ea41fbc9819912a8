"""`holdfast bench ...`: what a running cluster gives this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from holdfast._session import Transport
from holdfast._space import Space
from holdfast.cli.output import err, table
from holdfast.cli.reach import reach_of
from holdfast.errors import InvalidArgument

app = typer.Typer(help="Quick measurements against a running cluster.", no_args_is_help=True)
KEY_BYTES = 32
EXISTS_BATCH = 256


@app.callback()
def bench() -> None:
    """Quick measurements against a running cluster; `make bench` is the thorough one."""


@app.command("kv")
def kv(
    context: typer.Context,
    block_kib: Annotated[int, typer.Option(help="Size of a block, KiB.", min=1, max=16384)] = 1024,
    batch: Annotated[int, typer.Option(help="Blocks in one call.", min=1, max=4096)] = 32,
    mib: Annotated[int, typer.Option(help="Set to write and read, MiB.", min=1)] = 256,
    seconds: Annotated[float, typer.Option(help="Time for each figure.", min=0.1)] = 3.0,
    transport: Annotated[str, typer.Option(help="auto, tcp or shm.")] = "auto",
) -> None:
    """Measure put, get and exists: throughput and times of one call at a time.

    Makes a space of its own and deletes it at the end; may evict other blocks of a full cluster.

    Example: [bold]holdfast bench kv --block-kib 64 --transport tcp[/]
    """
    if transport not in ("auto", "tcp", "shm"):
        raise InvalidArgument(f"transport is {transport!r}, it must be auto, tcp or shm")
    chosen: Transport = "tcp" if transport == "tcp" else "shm" if transport == "shm" else "auto"
    blocks = max(batch, (mib << 10) // block_kib)
    name = f"holdfast-bench-{os.getpid()}"
    with reach_of(context).cluster(chosen) as cluster:
        space = cluster.space(name, block_bytes=block_kib << 10, create=True)
        try:
            rows = _Measurement(space, blocks, batch, seconds).rows()
        finally:
            cluster.delete_space(name)
    table(("call", "GB/s", "keys/s", "p50", "p99", "served"), rows)


class _Measurement:
    """One run over a set of blocks."""

    def __init__(self, space: Space, blocks: int, batch: int, seconds: float) -> None:
        self._space = space
        self._batch = batch
        self._seconds = seconds
        self._blocks = blocks
        self._random = np.random.default_rng()
        self._keys = self._random.integers(0, 256, (blocks, KEY_BYTES), dtype=np.uint8)
        self._region = space.allocate(batch * space.block_bytes)
        memory = np.frombuffer(self._region.memory, np.uint8)
        memory[:] = self._random.integers(0, 256, len(memory), dtype=np.uint8)

    def rows(self) -> list[tuple[str, ...]]:
        """One row a call; cells of the table's columns."""
        err.print(f"writing {self._blocks} blocks of {self._space.block_bytes} bytes")
        rows = [self._row("put", self._space.block_bytes, self._put())]
        self._warn_if_it_does_not_fit()
        rows.append(self._row("get", self._space.block_bytes, self._repeat(self._get)))
        rows.append(self._row("exists", 0, self._repeat(self._exists)))
        self._region.close()
        return rows

    def _warn_if_it_does_not_fit(self) -> None:
        starts = range(0, self._blocks, EXISTS_BATCH)
        stored = sum(
            self._space.exists(self._keys[first : first + EXISTS_BATCH]).count for first in starts
        )
        if stored < self._blocks:
            err.print(
                f"the set does not fit: {stored} of its {self._blocks} blocks are still stored, so "
                "that get misses the others; choose a smaller --mib, or see `holdfast status` for "
                "the room there is",
            )

    def _put(self) -> list[tuple[float, int, int]]:
        calls = []
        for first in range(0, self._blocks, self._batch):
            keys = self._keys[first : first + self._batch]
            segments = self._region.blocks(indices=range(len(keys)))
            start = time.perf_counter()
            result = self._space.put(keys, segments, first)
            calls.append((time.perf_counter() - start, len(keys), result.kept))
        return calls

    def _repeat(self, call: Callable[[], tuple[float, int, int]]) -> list[tuple[float, int, int]]:
        end = time.perf_counter() + self._seconds
        calls = [call()]
        while time.perf_counter() < end:
            calls.append(call())
        return calls

    def _get(self) -> tuple[float, int, int]:
        keys = self._some(self._batch)
        segments = self._region.blocks(indices=range(len(keys)))
        start = time.perf_counter()
        result = self._space.get(keys, segments)
        return time.perf_counter() - start, len(keys), result.hits

    def _exists(self) -> tuple[float, int, int]:
        keys = self._some(EXISTS_BATCH)
        start = time.perf_counter()
        result = self._space.exists(keys)
        return time.perf_counter() - start, len(keys), result.count

    def _some(self, count: int) -> npt.NDArray[np.uint8]:
        return self._keys[self._random.integers(0, self._blocks, count)]

    @staticmethod
    def _row(name: str, nbytes: int, calls: list[tuple[float, int, int]]) -> tuple[str, ...]:
        times = np.array([call[0] for call in calls])
        keys, served = sum(call[1] for call in calls), sum(call[2] for call in calls)
        seconds = float(times.sum())
        return (
            name,
            f"{served * nbytes / seconds / 1e9:.2f}" if nbytes else "-",
            f"{keys / seconds:,.0f}",
            f"{np.percentile(times, 50) * 1e3:.2f} ms",
            f"{np.percentile(times, 99) * 1e3:.2f} ms",
            f"{100 * served / keys:.1f} %",
        )
