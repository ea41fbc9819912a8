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


@dataclass(slots=True)
class Call(Generic[R]):
    """How to start a call and how to read its outcome. Never changed; not frozen, because making
    a frozen value takes a microsecond, once a call."""

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
        return self.finish(self.start(False))

    def finish(self, operation: Operation) -> R:
        """Waits until `operation` has ended and answers what became of it.

        Nothing touches the call's memory any more when this returns or raises.
        """
        try:
            try:
                ended = operation.wait(self.deadline_ms + GRACE_MS)
            except BaseException:
                operation.cancel()
                raise
            if not ended:
                operation.cancel()
        except NativeError as error:
            raise translated(error) from error
        return self.read(operation)
