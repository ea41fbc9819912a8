"""Hit rates on the trace at several sizes: the engine itself, LRU, S3-FIFO, Belady."""

from __future__ import annotations

import json
import lzma
import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import holdfast_native
from bench.eviction.plot import draw
from bench.figure import Bound, Figure

# Block lists of Mooncake's published conversation trace, whole; `TRACE=path` takes another.
BLOCKS = Path(__file__).parent / "conversation_blocks.jsonl.xz"
PERCENTS = (5, 10, 20, 50)
BOUNDS = {10: Bound(1.04, 1.12), 20: Bound(0.98, 1.0), 50: Bound(0.995, 1.005)}
# The engine seeds its hashes at random, so its hits differ a little from run to run.
RUNS = 5


@dataclass(frozen=True)
class HitRates:
    """Hits by references at one size; `engine` holds one value a run."""

    percent: int
    capacity_blocks: int
    engine: tuple[float, ...]
    lru: float
    s3fifo: float
    belady: float


def measure(plots: Path) -> list[Figure]:
    """Hit rate over LRU's at each size; draws `plots/hit_rate.png`."""
    chosen = os.environ.get("TRACE")
    requests = list(read_requests(Path(chosen) if chosen else BLOCKS))
    rates = [hit_rates(requests, percent) for percent in PERCENTS]
    draw(rates, plots / "hit_rate.png")
    return [_figure(at) for at in rates]


def read_requests(path: Path) -> Iterator[list[int]]:
    """The block numbers of each request of a trace of JSON lines, plain or `.xz`."""
    content = path.read_bytes()
    if path.suffix == ".xz":
        content = lzma.decompress(content)
    for line in content.splitlines():
        yield [int(block) for block in json.loads(line)["hash_ids"]]


def hit_rates(requests: list[list[int]], percent: int) -> HitRates:
    """Replays the requests at `percent` of their distinct blocks."""
    blocks = array("Q", (block for request in requests for block in request))
    lengths = array("Q", (len(request) for request in requests))
    trace = holdfast_native.Trace(blocks, lengths)
    capacity = round(len(set(blocks)) * percent / 100)
    references = trace.references
    return HitRates(
        percent,
        capacity,
        tuple(trace.engine_hits(capacity) / references for _ in range(RUNS)),
        trace.lru_hits(capacity) / references,
        trace.s3fifo_hits(capacity) / references,
        trace.belady_hits(capacity) / references,
    )


def _figure(at: HitRates) -> Figure:
    beside = {
        "engine": f"{median(at.engine):.4f}",
        "LRU": f"{at.lru:.4f}",
        "S3-FIFO": f"{at.s3fifo:.4f}",
        "Belady": f"{at.belady:.4f}",
        "blocks": str(at.capacity_blocks),
    }
    values = [rate / at.lru for rate in at.engine]
    name = f"hit_rate_vs_lru_{at.percent}pct"
    return Figure(name, "", values, BOUNDS.get(at.percent), beside)
