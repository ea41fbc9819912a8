"""Erasure-coded stripes on one thread, against another code and against memory itself.

The measures are an example of the native workspace, so that the other code is no part of wheels.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from bench.figure import Bound, Figure

ROOT = Path(__file__).resolve().parents[1]
# Building it takes most of a minute the first time.
TIMEOUT_S = 900

Rates = dict[str, list[float]]


def measure(rounds: int) -> list[Figure]:
    """Figures of encoding; rates of rebuilding stand beside them."""
    kernel, rates = parse(_run(rounds))
    return [
        Figure(
            "ec_encode_vs_rs_simd",
            "",
            _ratios(rates, "cached_encode_4+2", "cached_reed_solomon_simd_4+2"),
            Bound(1.5, 2.0),
            {
                **_beside(
                    rates,
                    {
                        "ours": "cached_encode_4+2",
                        "limit": "cached_reed_solomon_simd_4+2",
                        "with all checksums": "cached_summed_4+2",
                        "rebuilding 1": "cached_rebuild_1_4+2",
                        "2 lost": "cached_rebuild_2_4+2",
                        "8+3": "cached_encode_8+3",
                        "8+3 limit": "cached_reed_solomon_simd_8+3",
                    },
                ),
                "kernel": kernel,
            },
        ),
        Figure(
            "ec_stripe_vs_memory",
            "",
            _ratios(rates, "memory_summed_4+2", "memory_floor_4+2"),
            Bound(0.7, 1.0),
            _beside(
                rates,
                {
                    "ours": "memory_summed_4+2",
                    "limit": "memory_floor_4+2",
                    "in runs of 4 KiB": "memory_summed_short_runs_4+2",
                    "rebuilding 1": "memory_rebuild_1_4+2",
                    "2 lost": "memory_rebuild_2_4+2",
                    "8+3": "memory_summed_8+3",
                    "8+3 limit": "memory_floor_8+3",
                },
            ),
        ),
    ]


def parse(text: str) -> tuple[str, Rates]:
    """The kernel's name, and GB/s of each measure by round."""
    lines = [line.split() for line in text.splitlines() if line]
    rates = {name: [float(rate) for rate in rest] for name, *rest in lines if name != "kernel"}
    return next(rest[0] for name, *rest in lines if name == "kernel"), rates


def _run(rounds: int) -> str:
    command = ["cargo", "run", "--manifest-path", str(ROOT / "native/Cargo.toml"), "--locked"]
    command += ["--release", "--quiet", "-p", "holdfast-erasure", "--example", "stripe_rates"]
    done = subprocess.run(
        [*command, "--", str(rounds)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
    )
    return done.stdout


def _ratios(rates: Rates, ours: str, limit: str) -> list[float]:
    return [mine / its for mine, its in zip(rates[ours], rates[limit], strict=True)]


def _beside(rates: Rates, labels: dict[str, str]) -> dict[str, str]:
    return {label: f"{float(np.median(rates[name])):.1f} GB/s" for label, name in labels.items()}
