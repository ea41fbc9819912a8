"""One call on a space, before it takes the blocking, the futures or the asyncio form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from holdfast._native_errors import translated
from holdfast_native import NativeError, Operation

R = TypeVar("R")

GRACE_MS = 1000
"""How long a wait outlasts the call's deadline, at which native code ends the call by itself."""


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """How to start a call and how to read its outcome."""

    launch: Callable[[bool], Operation]
    """Starts it; the argument asks for a notice at the event descriptor when it has ended."""
    read: Callable[[Operation], R]
    """The result of an operation that is done."""
    deadline_ms: int

    def start(self, notify: bool) -> Operation:
        """Starts it. Raises public errors."""
        try:
            return self.launch(notify)
        except NativeError as error:
            raise translated(error) from error

    def run(self) -> R:
        """The blocking form. An interrupt cancels the call before it is raised."""
        operation = self.start(False)
        wait_to_end(operation, self.deadline_ms)
        return self.read(operation)


def wait_to_end(operation: Operation, deadline_ms: int) -> None:
    """Waits until `operation` has ended; nothing touches its memory when this returns or raises."""
    try:
        ended = operation.wait(deadline_ms + GRACE_MS)
    except BaseException:
        operation.cancel()
        raise
    if not ended:
        operation.cancel()
