"""The hit rates as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

if TYPE_CHECKING:
    from bench.eviction.hit_rates import HitRates


def draw(rates: Sequence[HitRates], path: Path) -> None:
    """Writes a PNG of the hit rate by size, one line a policy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    sizes = [at.percent for at in rates]
    lines = {
        "Belady (knows the future)": [at.belady for at in rates],
        "Holdfast's engine": [sum(at.engine) / len(at.engine) for at in rates],
        "LRU": [at.lru for at in rates],
        "S3-FIFO": [at.s3fifo for at in rates],
    }
    for label, values in lines.items():
        axes.plot(sizes, values, marker="o", label=label)
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size} %" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("room, share of the trace's distinct blocks")
    axes.set_ylabel("blocks found as prefix / blocks asked for")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
