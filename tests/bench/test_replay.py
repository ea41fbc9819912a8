"""`python -m bench.replay`: what `make run` runs, on small traces."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.replay.trace import Trace

EXCERPT = Path(__file__).parents[2] / "bench" / "trace_excerpt.jsonl"
DEADLINE_S = 240


def replay(folder: Path, trace: Path, *options: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, what it wrote, and what it printed."""
    out = folder / "run.json"
    command = [sys.executable, "-m", "bench.replay", "--trace", str(trace), "--out", str(out)]
    done = subprocess.run(
        [*command, *options],
        cwd=EXCERPT.parents[1],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    written = json.loads(out.read_text()) if out.exists() else {}
    return done.returncode, written, done.stdout + done.stderr


def excerpt(folder: Path, requests: int) -> Path:
    lines = EXCERPT.read_text().splitlines(keepends=True)[:requests]
    path = folder / "trace.jsonl"
    path.write_text("".join(lines))
    return path


@pytest.mark.process
@pytest.mark.slow
def test_with_room_for_everything_every_prefix_is_found(tmp_path: Path) -> None:
    trace = excerpt(tmp_path, 300)
    possible = Trace.load(trace).prefix_blocks_possible()
    status, run, printed = replay(tmp_path, trace, "--kill", "0", "--block-kib", "16")
    assert status == 0, printed
    assert run["blocks_matched"] == run["prefix_blocks_possible"] == possible > 0
    assert run["blocks_verified"] == possible
    assert (run["requests"], run["requests_failed"], run["wrong_blocks"]) == (300, 0, 0)
    assert run["errors_by_kind"] == {}


@pytest.mark.process
@pytest.mark.slow
def test_killed_nodes_cost_misses_and_nothing_else(tmp_path: Path) -> None:
    trace = excerpt(tmp_path, 900)
    status, run, printed = replay(tmp_path, trace, "--kill", "1", "--block-kib", "64")
    assert status == 0, printed
    assert (run["requests"], run["requests_failed"], run["wrong_blocks"]) == (900, 0, 0)
    assert run["data_node_killed"] and run["leader_killed"]
    assert run["requests_in_flight_at_kill"] >= 16


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{}\n", b'{"hash_ids": [-1]}\n'])
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    status, _, printed = replay(tmp_path, path)
    assert status == 2
    assert str(path) in printed.replace("\n", "")


def test_an_arena_that_is_no_multiple_of_an_extent_is_refused(tmp_path: Path) -> None:
    status, _, printed = replay(tmp_path, EXCERPT, "--arena-mib", "33")
    assert status == 2
    assert "multiple of 16" in printed
