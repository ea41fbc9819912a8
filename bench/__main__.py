"""`python -m bench`: every figure, as ratios against limits measured in the same run."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench import (
    encoding,
    index_size,
    latency,
    lookups,
    metadata,
    shared_memory,
    stripes,
    tcp_throughput,
)
from bench.bed import MIB
from bench.eviction import hit_rates
from bench.figure import Figure
from bench.report import machine, print_table, write_json

GIB = 1024 * MIB


def suites(quick: bool, plots: Path) -> dict[str, Callable[[], list[Figure]]]:
    """What is measured, by name; `quick` takes fewer and shorter samples."""
    pairs = 3 if quick else 11
    share = 8 if quick else 1
    return {
        "tcp": lambda: tcp_throughput.measure(pairs, 4 * GIB // share),
        "latency": lambda: latency.measure(pairs, 8000 // share),
        "lookups": lambda: lookups.measure(pairs, 16_000 // share),
        "shm": lambda: shared_memory.measure(pairs, 12 * GIB // share),
        "encoding": lambda: encoding.measure(pairs),
        "stripes": lambda: stripes.measure(pairs, 2 * GIB // share, 400 // share),
        "index": lambda: index_size.measure(10_000_000 // share),
        "eviction": lambda: hit_rates.measure(plots),
        "metadata": lambda: metadata.measure(3 if quick else 5, 2.0 if quick else 5.0),
    }


def main() -> int:
    """Measures, prints the table, writes `build/bench.json`; 1 when a bound is not met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples")
    parser.add_argument("--only", action="append", metavar="SUITE", help="just this suite")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    arguments = parser.parse_args()
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 200)
    about = machine()
    chosen = suites(arguments.quick, arguments.out.parent)
    unknown = set(arguments.only or ()) - set(chosen)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}: there are {', '.join(chosen)}")
    figures: list[Figure] = []
    for name, measure in chosen.items():
        if arguments.only and name not in arguments.only:
            continue
        console.print(f"measuring {name} ...", highlight=False)
        figures.extend(measure())
        write_json(arguments.out, figures, about)
    print_table(figures, console)
    console.print(f"written to {arguments.out}", highlight=False)
    return 1 if any(figure.verdict == "SHORT" for figure in figures) else 0


if __name__ == "__main__":
    raise SystemExit(main())
