"""Runs cases with real engines: `make test-engines`.

    python -m tests.engines.real [--core] [--minutes N] [--out PATH] [--directory PATH] [NAME ...]

Exit status 0 when every row passed, 1 when one failed or an engine's environment is missing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import holdfast
from tests.engines.real import cases as case_modules
from tests.engines.real.bed import ROOT, Bed
from tests.engines.real.row import Case, Row

LAYOUT = holdfast.LocalLayout(
    data_nodes=3, arena_mib=768, heartbeat_interval_ms=200, down_after_ms=1500
)
LOG_LINES = 25


def main() -> int:
    """Runs what the command line names; returns the exit status."""
    options = _options()
    chosen = [
        case
        for case in all_cases()
        if (case.core or not options.core) and (not options.names or case.name in options.names)
    ]
    unknown = set(options.names) - {case.name for case in all_cases()}
    if unknown:
        print(f"no such case: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    end = time.monotonic() + 60 * options.minutes if options.minutes is not None else None
    shutil.rmtree(options.directory, ignore_errors=True)
    options.directory.mkdir(parents=True)
    with holdfast.LocalCluster(LAYOUT) as cluster:
        bed = Bed(cluster, options.directory)
        try:
            rows, left_out = _run(bed, chosen, end)
        finally:
            bed.close()
    _write(options.out, rows)
    if left_out:
        print(f"left out, for want of time: {', '.join(left_out)}")
    failed = sum(not row.passed for row in rows)
    print(f"{len(rows) - failed} passed, {failed} failed")
    return 1 if failed or not rows else 0


def all_cases() -> list[Case]:
    """Every case of every module under cases/, the core ones first."""
    names = sorted(module.name for module in pkgutil.iter_modules(case_modules.__path__))
    found: list[Case] = []
    for name in names:
        found += importlib.import_module(f"{case_modules.__name__}.{name}").CASES
    return sorted(found, key=lambda case: not case.core)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.engines.real")
    parser.add_argument("--core", action="store_true", help="only the core cases")
    parser.add_argument("--minutes", type=float, help="leave out what does not fit (core runs)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "engines.json")
    parser.add_argument("--directory", type=Path, default=ROOT / "build" / "engines-run",
                        help="for models and logs, emptied first")  # fmt: skip
    parser.add_argument("names", nargs="*", help="only these cases")
    return parser.parse_args()


def _run(bed: Bed, chosen: Sequence[Case], end: float | None) -> tuple[list[Row], list[str]]:
    rows: list[Row] = []
    left_out: list[str] = []
    for case in chosen:
        if not case.core and end is not None and time.monotonic() + case.estimate_s > end:
            left_out.append(case.name)
            continue
        print(f"-- {case.name}", flush=True)
        began = time.monotonic()
        for row in _rows_of(case, bed):
            now = time.monotonic()
            rows.append(replace(row, seconds=round(now - began, 1)))
            _print(rows[-1])
            began = now
    print(f"engine processes: {len(bed.started)}")
    return rows, left_out


def _rows_of(case: Case, bed: Bed) -> Iterator[Row]:
    """The rows of one case; an exception is one more row, which failed."""
    started = len(bed.started)
    if not bed.python(case.engine).exists():
        detail = f"no environment: run make engines-{case.engine}"
        yield Row(case.name, False, detail=detail)
        return
    try:
        yield from case.run(bed)
    except Exception as error:
        traceback.print_exc()
        for driven in bed.started[started:]:
            lines = driven.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            print(f"   {driven.log} ends with:\n   " + "\n   ".join(lines))
        detail = f"{type(error).__name__}: {str(error)[:300]}"
        yield Row(case.name, False, detail=detail)


def _print(row: Row) -> None:
    mark = "ok    " if row.passed else "FAILED"
    hits = "" if row.external_hits is None else f"{row.external_hits} tokens hit"
    print(f"{mark} {row.name:<58} {row.seconds:6.1f} s  {hits:<17} {row.detail}", flush=True)


def _write(path: Path, rows: Sequence[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    told = [asdict(row) for row in rows]
    path.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
