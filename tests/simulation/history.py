"""What simulated clients asked for and heard, in simulated time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["create", "delete", "read"]


@dataclass
class Operation:
    """One operation of one client on one space, from call to answer."""

    client: bytes
    sequence: int
    kind: Kind
    name: str
    called_at_ms: int
    answered_at_ms: int | None = None
    number: int | None = None
    """The space's number that was answered; None: there is no such space."""


class History:
    """Operations in the order of their calls."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def of(self, name: str) -> list[Operation]:
        return [found for found in self.operations if found.name == name]

    @property
    def unanswered(self) -> int:
        return sum(found.answered_at_ms is None for found in self.operations)
