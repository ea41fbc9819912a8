"""What a replay counts, and the file it leaves."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Ledger:
    """Counts of one replay. Times are seconds of the monotonic clock."""

    requests_total: int
    prefix_blocks_possible: int
    kill: bool = False
    blocks_asked: int = 0
    blocks_matched: int = 0
    blocks_served: int = 0
    blocks_verified: int = 0
    wrong_blocks: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    requests_done: int = 0
    requests_failed: int = 0
    in_flight: int = 0
    longest_stall_s: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    get_times_s: list[float] = field(default_factory=list)
    data_node_killed: str | None = None
    data_node_killed_in_flight: int = 0
    leader_killed: str | None = None
    events: list[str] = field(default_factory=list)
    degraded_reads: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def hit_rate(self) -> float:
        return self.blocks_matched / self.blocks_asked if self.blocks_asked else 0.0

    @property
    def requests_lost(self) -> int:
        """Requests that ended neither well nor with an error: always a bug."""
        return self.requests_total - self.requests_done - self.requests_failed

    @property
    def good(self) -> bool:
        """Whether every byte was right, no request was lost, and the faults asked for happened."""
        return self.wrong_blocks == 0 and self.requests_lost == 0 and not self.fault_missed

    @property
    def fault_missed(self) -> bool:
        """A data node or the leader was to be killed and was not."""
        return self.kill and None in (self.data_node_killed, self.leader_killed)

    def start(self) -> None:
        """The first request is about to be served: times count from here."""
        self.started = time.monotonic()

    def stalled(self, seconds: float) -> None:
        """Notes how long one call took from the caller's point of view."""
        self.longest_stall_s = max(self.longest_stall_s, seconds)

    def event(self, text: str) -> None:
        """Notes what happened to the cluster, with the time since the start."""
        self.events.append(f"{self.seconds:6.1f} s  {text}")

    def get_quantile_ms(self, quantile: float) -> float:
        if not self.get_times_s:
            return 0.0
        return float(np.quantile(np.array(self.get_times_s), quantile)) * 1e3

    def as_json(self) -> dict[str, object]:
        return {
            "requests": self.requests_done,
            "requests_failed": self.requests_failed,
            "blocks_matched": self.blocks_matched,
            "hit_rate": round(self.hit_rate, 6),
            "prefix_blocks_possible": self.prefix_blocks_possible,
            "degraded_reads": self.degraded_reads,
            "gb_read": round(self.bytes_read / 1e9, 3),
            "gb_written": round(self.bytes_written / 1e9, 3),
            "blocks_verified": self.blocks_verified,
            "wrong_blocks": self.wrong_blocks,
            "errors_by_kind": dict(sorted(self.errors.items())),
            "data_node_killed": self.data_node_killed,
            "requests_in_flight_at_kill": self.data_node_killed_in_flight,
            "leader_killed": self.leader_killed,
            "longest_stall_s": round(self.longest_stall_s, 3),
            "get_p50_ms": round(self.get_quantile_ms(0.5), 3),
            "get_p99_ms": round(self.get_quantile_ms(0.99), 3),
            "seconds": round(self.seconds, 2),
        }

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")
