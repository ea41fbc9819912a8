"""Time to the first token by length, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from bench.engines.first_token import Round


def draw(rounds: Mapping[int, Sequence[Round]], path: Path) -> None:
    """Writes a PNG of medians with quartiles by number of shared tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    lengths = sorted(rounds)
    lines = {
        "computed, no connector": [[each.plain_s for each in rounds[n]] for n in lengths],
        "computed, with the connector": [[each.miss_s for each in rounds[n]] for n in lengths],
        "from the cluster": [[each.hit_s for each in rounds[n]] for n in lengths],
        "from the engine's own cache": [[each.local_s for each in rounds[n]] for n in lengths],
    }
    for label, values in lines.items():
        low, middle, high = np.array([np.quantile(each, (0.25, 0.5, 0.75)) for each in values]).T
        axes.errorbar(
            lengths, middle, yerr=(middle - low, high - middle), marker="o", capsize=3, label=label
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axes.set_xlabel("shared tokens")
    axes.set_ylabel("seconds to the first token")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=150)
