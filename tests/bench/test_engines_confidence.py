"""A bound that must be held with confidence: by the worse end of where the median may lie."""

from __future__ import annotations

import io

import numpy as np
from rich.console import Console

from bench.figure import Bound, Figure
from bench.report import print_table

SEED = 4


def figure(values: list[float], bound: Bound | None) -> Figure:
    return Figure("ratio", "", values, bound, {})


def test_few_scattered_runs_do_not_meet_what_their_median_does() -> None:
    values = [0.2, 0.3, 0.34, 0.5, 0.6]
    assert figure(values, Bound(0.35, 0.2, False)).verdict == "must"
    assert figure(values, Bound(0.35, 0.2, False, 0.9)).verdict == "SHORT"


def test_many_runs_close_together_meet_it() -> None:
    print(f"seed {SEED}")
    values = list(np.random.default_rng(SEED).normal(0.3, 0.05, 40))
    held = figure(values, Bound(0.35, 0.2, False, 0.9))
    sure = held.confidence_bound
    assert sure is not None
    assert held.median < sure < 0.35
    assert held.verdict == "must"


def test_it_is_the_lower_end_where_more_is_better() -> None:
    values = [0.90, 0.95, 0.99, 1.0, 1.01]
    held = figure(values, Bound(0.92, 0.98, True, 0.9))
    sure = held.confidence_bound
    assert sure is not None
    assert sure < held.median
    assert held.as_json()["confidence_bound"] == sure


def test_one_figure_in_ten_is_on_the_wrong_side_of_its_own_bound() -> None:
    print(f"seed {SEED}")
    random = np.random.default_rng(SEED)
    bound = Bound(1.0, 1.0, False, 0.9)
    below = 0
    for _ in range(200):
        sure = figure(list(random.normal(1.0, 0.1, 21)), bound).confidence_bound
        assert sure is not None
        below += sure < 1.0
    assert below / 200 < 0.2


def test_without_confidence_nothing_is_told_of_it() -> None:
    assert figure([1.0, 2.0], Bound(3, 1, False)).confidence_bound is None
    assert "confidence_bound" not in figure([1.0, 2.0], None).as_json()


def test_the_table_shows_what_must_hold_and_what_does() -> None:
    file = io.StringIO()
    bound = Bound(0.35, 0.2, False, 0.9)
    print_table([figure([0.1, 0.1], bound)], Console(file=file, width=120))
    assert "<= 0.35, at 90% 0.100" in file.getvalue()
