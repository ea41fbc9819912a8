"""A call under way, of the futures form."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar, cast

from holdfast._call import Call
from holdfast._completions import Completions
from holdfast._native_errors import translated
from holdfast.errors import DeadlineExceeded, InvalidArgument
from holdfast_native import NativeError

R = TypeVar("R")
_NOTHING = object()
TIMEOUT_S_MAX = 1e9
"""Longest wait that `Pending.result` takes: decades."""


class Pending(Generic[R]):
    """A call that was started. Whoever waits in `result` drives it; nobody has to.

    Its memory is in use until it has ended. Every method raises ForkedError in a forked child.
    """

    def __init__(self, call: Call[R], completions: Completions) -> None:
        self._call = call
        self._completions = completions
        self._operation = call.start(False)
        self._lock = Lock()
        self._result: object = _NOTHING

    def done(self) -> bool:
        """Whether it has ended, in any way."""
        try:
            return self._operation.done
        except NativeError as error:
            raise translated(error) from error

    def result(self, timeout: float | None = None) -> R:
        """Waits for the end and answers what became of each key.

        timeout: seconds to wait; None: to the call's own deadline. Raises DeadlineExceeded if it
        is still under way after `timeout`; it stays so, and can be waited for again. Raises
        InvalidArgument for a timeout that is no number or below 0. Ctrl-C while waiting cancels
        the call.
        """
        if self._result is _NOTHING:
            if timeout is not None:
                self._wait(timeout)
            found = self._call.finish(self._operation)
            with self._lock:
                if self._result is _NOTHING:
                    self._result = found
        return cast(R, self._result)

    def _wait(self, timeout_s: float) -> None:
        try:
            possible = 0 <= timeout_s <= TIMEOUT_S_MAX
        except (TypeError, ValueError):  # an array has no single truth
            possible = False
        if not possible:
            raise InvalidArgument(
                f"timeout is {timeout_s!r}, it must be 0 to {TIMEOUT_S_MAX} seconds, or None"
            )
        try:
            ended = self._operation.wait(int(timeout_s * 1000))
        except NativeError as error:
            raise translated(error) from error
        except BaseException:
            self._operation.cancel()
            raise
        if not ended:
            raise DeadlineExceeded(
                f"the call is still under way after {timeout_s} s: wait longer, or cancel it"
            )

    def cancel(self) -> None:
        """Ends it now; keys not done yet are `Status.CANCELLED`, and nothing writes into its
        segments once this returns. `result` then answers at once."""
        try:
            self._operation.cancel()
        except NativeError as error:
            raise translated(error) from error

    def add_done_callback(self, callback: Callable[[Pending[R]], object]) -> None:
        """Calls `callback(self)` once it has ended, on whichever thread hears of it.

        At once, on this thread, if it has ended already. It must be short; an exception that it
        raises is logged. Raises InvalidArgument for a callback that cannot be called.
        """
        if not callable(callback):
            raise InvalidArgument(
                f"callback is a {type(callback).__name__}, it must be callable with this object"
            )
        self._completions.call_back(self._operation, lambda: callback(self))

    def __repr__(self) -> str:
        return f"<Pending: {'done' if self.done() else 'under way'}>"
