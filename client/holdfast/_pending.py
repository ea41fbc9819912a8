"""A call under way, of the futures form."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar, cast

from holdfast._call import Call, wait_to_end
from holdfast._completions import Completions
from holdfast.errors import DeadlineExceeded

R = TypeVar("R")
_NOTHING = object()


class Pending(Generic[R]):
    """A call that was started. Whoever waits in `result` drives it; nobody has to.

    Results keep their memory busy until the call has ended: take or cancel every one.
    """

    def __init__(self, call: Call[R], completions: Completions) -> None:
        self._call = call
        self._completions = completions
        self._operation = call.start(False)
        self._lock = Lock()
        self._result: object = _NOTHING

    def done(self) -> bool:
        """Whether it has ended, in any way."""
        return self._operation.done

    def result(self, timeout: float | None = None) -> R:
        """Waits for the end and answers what became of each key.

        timeout: seconds to wait; None: to the call's own deadline. Raises DeadlineExceeded if it
        is still under way after `timeout`; it stays so, and can be waited for again. Ctrl-C while
        waiting cancels the call.
        """
        if timeout is None:
            wait_to_end(self._operation, self._call.deadline_ms)
        elif not self._operation.wait(max(0, int(timeout * 1000))):
            raise DeadlineExceeded(
                f"the call is still under way after {timeout} s: wait longer, or cancel it"
            )
        with self._lock:
            if self._result is _NOTHING:
                self._result = self._call.read(self._operation)
            return cast(R, self._result)

    def cancel(self) -> None:
        """Ends it now; keys not done yet are `Status.CANCELLED`, and nothing writes into its
        segments once this returns. `result` then answers at once."""
        self._operation.cancel()

    def add_done_callback(self, callback: Callable[[Pending[R]], object]) -> None:
        """Calls `callback(self)` once it has ended, on a thread of the library.

        At once, on this thread, if it has ended already. An exception that it raises is logged.
        """
        self._completions.call_back(self._operation, lambda: callback(self))

    def __repr__(self) -> str:
        return f"<Pending: {'done' if self.done() else 'under way'}>"
