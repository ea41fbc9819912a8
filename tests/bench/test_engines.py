"""Figures of `make bench-engines`, from samples as engines give them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.engines import pinned_model
from bench.engines.decode import tokens_per_s
from bench.engines.first_token import Round
from bench.engines.plot import draw
from bench.engines.resident import Answer

GB = 1e9


def round_of(tokens: int, hit_s: float) -> Round:
    return Round(tokens, 2.1, 2.0, hit_s, 0.03, 4 * GB)


def test_what_a_hit_costs_is_told_in_times_of_its_bytes_over_the_wire() -> None:
    nbytes = 2048 * pinned_model.KV_BYTES_PER_TOKEN
    seconds_of_wire = nbytes / (4 * GB)
    taken = round_of(2048, hit_s=0.03 + 2 * seconds_of_wire)
    assert taken.nbytes == nbytes
    assert taken.extra_vs_wire == pytest.approx(2.0)


def test_kv_bytes_are_those_of_the_model_that_is_made(tmp_path: Path) -> None:
    path = pinned_model.make(tmp_path / "model")
    # Keys and values are projections of a token: their weights have one row a value.
    values = _rows(path / "model.safetensors", ("k_proj", "v_proj"))
    assert values * 4 == pinned_model.KV_BYTES_PER_TOKEN == 32 << 10


def test_decoding_is_measured_while_all_requests_decode() -> None:
    early = [1.0, 2.0, 3.0, 4.0]
    late = [2.0, 3.0, 4.0, 5.0]
    answer = Answer([[]], [early, late], steps=5, drain_s=0.0, grown={}, grown_until_drained={})
    # From 2 s on, when both have their first token, to 4 s, when the first one ends.
    assert tokens_per_s(answer) == pytest.approx(4 / 2.0)


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    rounds = {512: [round_of(512, 0.05)] * 2, 2048: [round_of(2048, hit) for hit in (0.06, 0.07)]}
    draw(rounds, tmp_path / "plots" / "engines_ttft.png")
    assert (tmp_path / "plots" / "engines_ttft.png").read_bytes().startswith(b"\x89PNG")


def _rows(path: Path, names: tuple[str, ...]) -> int:
    """Rows of the matrices whose names hold one of `names`."""
    content = path.read_bytes()
    length = int(np.frombuffer(content[:8], "<u8")[0])
    header = json.loads(content[8 : 8 + length])
    return sum(
        tensor["shape"][0] for name, tensor in header.items() if any(part in name for part in names)
    )
