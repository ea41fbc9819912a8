"""A move that begins once its space is open."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

from holdfast.engines.door import Door
from holdfast.engines.started import Outcome
from holdfast.engines.vllm.kv_memory import Moving


class Deferred:
    """Given to blocks that arrive while a worker opens its spaces, a moment after the scheduler's
    side opened them. Begins, then or when its time is over, on the thread that looks at it."""

    def __init__(self, door: Door, start: Callable[[], Moving], patience_s: float) -> None:
        """patience_s: how long to wait for the space before it is tried as it is, seconds."""
        self._start = start
        self._open = Event()
        self._until = time.monotonic() + patience_s
        self._moving: Moving | None = None
        door.when_settled(self._open.set)

    def done(self) -> bool:
        """Whether it has ended."""
        if self._moving is None and (self._open.is_set() or time.monotonic() > self._until):
            self._moving = self._start()
        return self._moving is not None and self._moving.done()

    def outcome(self) -> Outcome:
        """What became of it; waits for its end, and before that for the space."""
        return self._begun().outcome()

    def cancel(self) -> None:
        """Ends it now."""
        self._until = 0.0
        self._begun().cancel()

    def _begun(self) -> Moving:
        if self._moving is None:
            self._open.wait(max(0.0, self._until - time.monotonic()))
            self._moving = self._start()
        return self._moving
