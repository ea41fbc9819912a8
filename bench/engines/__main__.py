"""`python -m bench.engines`: what a real vLLM gains by Holdfast, and what it costs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench.engines import decode, first_token, pinned_model
from bench.engines.bed import Bed, bed, facts
from bench.engines.resident import PYTHON, ROOT
from bench.figure import Figure
from bench.report import machine, print_table, write_json


def suites(quick: bool, plots: Path) -> dict[str, Callable[[Bed], list[Figure]]]:
    """What is measured, by name; `quick` takes fewer and shorter samples."""
    rounds = {512: 2, 2048: 3} if quick else {512: 7, 2048: 20, 8192: 3}
    return {
        "first-token": lambda here: first_token.measure(here, rounds, plots),
        "decode": lambda here: decode.measure(here, 3 if quick else 20, 33 if quick else 97),
    }


def main() -> int:
    """Measures, prints the table, writes `build/bench-engines.json`; 1 when a bound is not met."""
    options = _options()
    if not PYTHON.exists():
        print("no environment with vLLM: run make engines-vllm", file=sys.stderr)
        return 2
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 200)
    chosen = suites(options.quick, options.out.parent)
    about, began = machine(), time.monotonic()
    told = {"model": pinned_model.facts(), "engines": facts(options.load, options.transport)}
    told["seed"] = {"prompts": options.seed}
    figures: list[Figure] = []
    options.directory.mkdir(parents=True, exist_ok=True)
    console.print(f"prompts of seed {options.seed}; starting two engines ...", highlight=False)
    with bed(options.directory, options.load, options.transport, options.seed) as here:
        for name in options.only or chosen:
            console.print(f"measuring {name} ...", highlight=False)
            figures.extend(chosen[name](here))
            write_json(options.out, figures, about, told)
    print_table(figures, console)
    console.print(
        f"written to {options.out} after {time.monotonic() - began:.0f} s", highlight=False
    )
    return 1 if any(figure.verdict == "SHORT" for figure in figures) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.engines", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter samples")
    parser.add_argument(
        "--only",
        action="append",
        metavar="SUITE",
        choices=list(suites(True, Path())),
        help="just this suite",
    )
    parser.add_argument("--load", choices=["async", "sync"], default="async",
                        help="the connector's setting of that name")  # fmt: skip
    parser.add_argument("--transport", choices=["tcp", "shm"], default="tcp")
    parser.add_argument("--seed", type=int, default=2026, help="of the prompts")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench-engines.json")
    parser.add_argument("--directory", type=Path, default=ROOT / "build" / "bench-engines",
                        help="for the model and logs")  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
