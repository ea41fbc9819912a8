"""What the Raft host needs of the world: disk, network, background jobs, its callers' thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast_kvstore.errors import HoldfastError
from holdfast_metanode.raft.requests import Done
from holdfast_native import (
    RaftCompaction,
    RaftConfiguration,
    RaftEffects,
    RaftMessage,
    RaftRecovered,
)
from holdfast_proto import command_pb2 as records


class Log(Protocol):
    """One member's durable Raft log: `RaftLog`, or `RaftMemoryLog` in simulation."""

    def recovered(self) -> RaftRecovered:
        """What it holds."""

    def bootstrap(self, voters: Sequence[int]) -> None:
        """Writes a new cluster's first state, synced."""

    def persist(self, effects: RaftEffects) -> None:
        """Snapshot, hard state and entries, with one sync if they must be synced."""

    def install_snapshot(self, index: int, term: int, configuration: RaftConfiguration) -> None:
        """Replaces the log by a snapshot's position, synced."""

    def compact_to(self, compaction: RaftCompaction) -> None:
        """Drops entries up to its index."""

    def close(self) -> None:
        """Syncs and closes."""

    @property
    def sync_count(self) -> int:
        """Syncs since open."""


class Network(Protocol):
    """How members reach one another. Nothing is promised: messages may be lost."""

    def send(self, messages: Sequence[RaftMessage]) -> None:
        """Never waits; what does not fit its bounds is dropped."""

    def fetch(self, descriptor: records.CheckpointDescriptor) -> Iterable[bytes]:
        """Pieces of another member's checkpoint. Called in a job; raises HoldfastError."""


class Jobs(Protocol):
    """Runs what takes long beside the host's thread."""

    def run(self, work: Callable[[], None]) -> None:
        """`work` catches its errors and tells its outcome by itself."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member stands, published after every turn."""

    role: str = "follower"
    leader: int | None = None
    term: int = 0
    commit: int = 0
    applied: int = 0

    @property
    def leads(self) -> bool:
        """Whether this member leads."""
        return self.role == "leader"


@dataclass(frozen=True, slots=True)
class TurnReport:
    """What one turn of the host has to tell its callers."""

    outcomes: list[tuple[Done, bytes | HoldfastError]]
    applied: bool
    """Whether the state machine moved."""

    def tell(self) -> None:
        """Tells each caller; run on the thread that they live on."""
        for done, outcome in self.outcomes:
            done(outcome)
