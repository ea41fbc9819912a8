"""A disk on which a member may lose power in the middle of a turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from holdfast_native import (
    RaftCompaction,
    RaftConfiguration,
    RaftEffects,
    RaftMemoryLog,
    RaftRecovered,
)


class PowerLossError(Exception):
    """Raised where the power goes; the member's turn ends there."""


class CrashingLog:
    """`Log` that loses power before or after a write when `loses_power` says so."""

    def __init__(self, log: RaftMemoryLog, loses_power: Callable[[], bool]) -> None:
        self._log = log
        self._loses_power = loses_power

    def recovered(self) -> RaftRecovered:
        return self._log.recovered()

    def bootstrap(self, voters: Sequence[int]) -> None:
        self._log.bootstrap(voters)

    def persist(self, effects: RaftEffects) -> None:
        if self._loses_power():
            raise PowerLossError
        self._log.persist(effects)
        if self._loses_power():
            raise PowerLossError

    def install_snapshot(self, index: int, term: int, configuration: RaftConfiguration) -> None:
        self._log.install_snapshot(index, term, configuration)

    def compact_to(self, compaction: RaftCompaction) -> None:
        self._log.compact_to(compaction)
        if self._loses_power():
            raise PowerLossError

    def close(self) -> None:
        self._log.close()

    @property
    def sync_count(self) -> int:
        return self._log.sync_count
