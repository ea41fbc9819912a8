"""What was acknowledged is in the log of the healed cluster, and so in every member's state."""

from __future__ import annotations

from tests.simulation.history import History
from tests.simulation.invariants.applied_equal import AppliedEqual
from tests.simulation.invariants.at_most_once import AtMostOnce


def check_acknowledged_kept(
    history: History, at_most_once: AtMostOnce, applied: AppliedEqual
) -> None:
    indices = sorted(applied.entries)
    assert indices == list(range(indices[0], indices[-1] + 1)), "the applied log has a gap"
    for operation in history.operations:
        if operation.kind != "read" and operation.answered_at_ms is not None:
            key = (operation.client, operation.sequence)
            assert key in at_most_once.results, f"acknowledged command {key} was never applied"
