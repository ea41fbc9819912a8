"""Our counters in the form in which the engine collects and serves them."""

from __future__ import annotations

from typing import Any

from prometheus_client import Counter
from vllm.distributed.kv_transfer.kv_connector.v1.metrics import (
    KVConnectorPromMetrics,
    KVConnectorStats,
)


class HoldfastStats(KVConnectorStats):
    """Sums since the last report, by the names that `docs/engines.md` explains."""

    def reset(self) -> None:
        """Forgets all."""
        self.data.clear()

    def aggregate(self, other: KVConnectorStats) -> KVConnectorStats:
        """Adds another process's sums."""
        for name, amount in other.data.items():
            self.data[name] = self.data.get(name, 0) + amount
        return self

    def reduce(self) -> dict[str, int | float]:
        """For a line of the engine's log."""
        return {name: round(amount, 3) for name, amount in sorted(self.data.items())}

    def is_empty(self) -> bool:
        """Whether nothing happened."""
        return not self.data


class HoldfastPromMetrics(KVConnectorPromMetrics):
    """`vllm:holdfast_total{event="load_blocks_good"}` and the like, at the engine's endpoint."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._counter = self._counter_cls(
            name="vllm:holdfast",
            documentation="What the Holdfast connector counts, by event.",
            labelnames=[*self._labelnames, "event"],
        )

    def observe(self, transfer_stats_data: dict[str, Any], engine_idx: int = 0) -> None:
        """Adds the sums of one report."""
        labels = self.per_engine_labelvalues[engine_idx]
        for event, amount in transfer_stats_data.items():
            counter: Counter = self._counter.labels(*labels, event)
            counter.inc(amount)
