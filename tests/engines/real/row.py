"""One line of build/engines.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.engines.real.bed import Bed


@dataclass(frozen=True, slots=True)
class Row:
    """What one case showed."""

    name: str
    passed: bool
    external_hits: int | None = None
    """Tokens that the engine counted as found outside, where it counts them."""
    tokens_equal: bool | None = None
    """Whether the output tokens were those of a run without Holdfast."""
    seconds: float = 0.0
    """From the end of the row before it, starts of engines included; set by the runner."""
    detail: str = ""
    """What was seen; of a case that failed, enough to start looking."""


@dataclass(frozen=True, slots=True)
class Case:
    """A group of rows that share engine processes."""

    name: str
    engine: str
    """Whose environment it needs: "vllm", "lmcache" or "sglang"."""
    run: Callable[[Bed], Iterable[Row]] = field(repr=False)
    """Gives its rows one by one, so that those before an exception are told."""
    core: bool = False
    """Whether CI runs it however little time is left."""
    estimate_s: float = 120.0
    """What it takes on two cores: without that much left, a run with a limit leaves it out."""
