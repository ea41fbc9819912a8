"""The table and the file that a bench run leaves."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figure import Figure


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / (1 << 30), 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def write_json(
    path: Path,
    figures: Sequence[Figure],
    about: Mapping[str, object],
    facts: Mapping[str, object] = {},
) -> None:
    """Writes `{"machine": ..., "figures": {name: ...}}`, and `facts` between the two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {figure.name: figure.as_json() for figure in figures}
    content = {"machine": about, **facts, "figures": told}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def print_table(figures: Sequence[Figure], console: Console) -> None:
    """Prints one row a figure: median, quartiles, bound, verdict, and the values beside it."""
    table = Table("figure", "median", "quartiles", "must", "aim", "", "beside")
    for figure in figures:
        low, high = figure.quartiles
        table.add_row(
            figure.name,
            f"{figure.median:.3f} {figure.unit}".strip(),
            f"{low:.3f} .. {high:.3f}",
            _must(figure),
            "" if figure.bound is None else f"{figure.bound.aim:g}",
            figure.verdict,
            ", ".join(f"{label} {value}" for label, value in figure.beside.items()),
        )
    console.print(table)


def _must(figure: Figure) -> str:
    if figure.bound is None:
        return ""
    sure = figure.confidence_bound
    if sure is None or figure.bound.confidence is None:
        return str(figure.bound)
    return f"{figure.bound}, at {figure.bound.confidence:.0%} {sure:.3f}"
