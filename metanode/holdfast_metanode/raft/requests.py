"""What may lie in the host's inbox, and how its callers hear what became of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from holdfast_kvstore.errors import HoldfastError
from holdfast_metanode.store.seam import Checkpoint

Done = Callable[[bytes | HoldfastError], None]
"""Told once what became of a request: a serialised `Result` (empty for reads), or why not."""
MemberStep = tuple[Literal["add_voter", "add_learner", "remove"], int]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Append a command, tell when it is applied here."""

    data: bytes
    deadline_ms: int
    """On the host's monotonic clock. After it: OutcomeUnknown."""
    done: Done


@dataclass(frozen=True, slots=True)
class Read:
    """Tell when everything that was acknowledged before this is applied here."""

    deadline_ms: int
    done: Done


@dataclass(frozen=True, slots=True)
class MemberChange:
    """Change who votes."""

    steps: Sequence[MemberStep]
    deadline_ms: int
    done: Done


@dataclass(frozen=True, slots=True)
class LeaderTransfer:
    """Hand leadership over; done when it was started."""

    member_id: int
    done: Done


@dataclass(frozen=True, slots=True)
class Received:
    """Messages of other members, serialised."""

    messages: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A message to this member was not delivered."""

    member_id: int


@dataclass(frozen=True, slots=True)
class CheckpointTaken:
    """A job that copied the state has ended; None: it failed."""

    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True)
class SnapshotStaged:
    """A job that fetched another member's state has ended."""

    message: bytes
    """The snapshot message that asked for it."""
    staged: bool


Item = (
    Proposal
    | Read
    | MemberChange
    | LeaderTransfer
    | Received
    | Unreachable
    | CheckpointTaken
    | SnapshotStaged
)
