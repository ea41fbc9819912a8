"""One call on a space, before it takes the blocking, the futures or the asyncio form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from holdfast._keys import NativeKeys
from holdfast._native_errors import translated
from holdfast_native import Client, NativeError, Operation, Segments

R = TypeVar("R")

Arguments = tuple[int, int, NativeKeys, Segments | None, int, int]
"""What native code takes: kind, space, keys, segments, argument, deadline in milliseconds."""


@dataclass(slots=True)
class Call(Generic[R]):
    """What to ask and how to read the answer. Never changed; not frozen, because making a frozen
    value takes a microsecond, once a call."""

    native: Client
    arguments: Arguments
    result_of: Callable[..., R]
    """The public result of the outcome that native code answers."""
    observe: Callable[[Mapping[str, int]], None]
    """Told why keys were not served."""

    def start(self, notify: bool) -> Operation:
        """Starts it; `notify` asks for a notice at the event descriptor when it has ended.
        Raises public errors."""
        try:
            return self.native.start(*self.arguments, notify)
        except NativeError as error:
            raise translated(error) from error

    def run(self) -> R:
        """The blocking form. An interrupt cancels the call before it is raised."""
        try:
            outcome = self.native.run(*self.arguments)
        except NativeError as error:
            raise translated(error) from error
        return self._read(outcome)

    def finish(self, operation: Operation) -> R:
        """Waits until `operation` has ended and answers what became of it.

        Nothing touches the call's memory any more when this returns or raises.
        """
        try:
            outcome = operation.finish(self.arguments[-1])
        except NativeError as error:
            raise translated(error) from error
        return self._read(outcome)

    def _read(self, outcome: tuple[Any, ...]) -> R:
        reasons = outcome[1]
        if reasons:
            self.observe(reasons)
        return self.result_of(*outcome)
