"""A call under way that an engine's door looks at from time to time, and never waits for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from holdfast._pending import Pending
from holdfast._results import KeyResults
from holdfast._status import Status
from holdfast.errors import HoldfastError


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of a call; the call never raises."""

    good: npt.NDArray[np.bool_]
    """bool[keys]: found, loaded or kept."""
    reasons: Mapping[str, int]
    """Why the others were not, with counts."""
    seconds: float
    """How long it took."""

    @property
    def prefix(self) -> int:
        """Good keys before the first that is not."""
        return len(self.good) if self.good.all() else int(np.argmin(self.good))


class Started:
    """Keys of one space asked for, read or written. `outcome` once it is `done`; asking for that
    moves no bytes."""

    def __init__(
        self,
        pending: Pending[KeyResults] | None,
        keys: int,
        good: tuple[Status, ...],
        ended: Callable[[Outcome], None],
        why: str = "",
    ) -> None:
        """pending: the call; None if it could not even be started, for the reason `why`."""
        self._pending = pending
        self._keys = keys
        self._good = good
        self._ended = ended
        self._why = why
        self._began = time.monotonic()
        self._seconds: float | None = None
        self._cancelled = False
        self._outcome: Outcome | None = None
        if pending is not None:
            # Asking the call itself would move its bytes, and those of others, on the asking
            # thread. With a callback the client's own thread moves them.
            pending.add_done_callback(lambda _pending: self._note_end())

    @property
    def keys(self) -> int:
        """Keys of the call."""
        return self._keys

    def done(self) -> bool:
        """Whether it has ended; nothing touches its memory from then on."""
        return self._pending is None or self._seconds is not None

    def when_done(self, callback: Callable[[], object]) -> None:
        """Calls `callback` once it has ended, on whichever thread hears of it; at once if it has.
        It must be short."""
        if self._pending is None or self._seconds is not None:
            callback()
            return

        def heard(_pending: object) -> None:
            self._note_end()  # our own callback may be a moment later, on another thread
            callback()

        self._pending.add_done_callback(heard)

    def cancel(self) -> None:
        """Ends it now; nothing touches its memory once this returns."""
        if self._pending is not None and self._outcome is None:
            self._cancelled = True
            self._pending.cancel()
            self._note_end()

    def outcome(self) -> Outcome:
        """What became of it; waits for its end, which its deadline bounds."""
        if self._outcome is None:
            self._outcome = self._read()
            self._ended(self._outcome)
        return self._outcome

    def _read(self) -> Outcome:
        why = self._why
        if self._pending is not None:
            try:
                found = self._pending.result()
            except HoldfastError as error:
                why = reason_of(error)
            else:
                good = np.isin(found.statuses, self._good)
                return Outcome(good, self._reasons(good, found), self._note_end())
        nothing = np.zeros(self._keys, dtype=np.bool_)
        return Outcome(nothing, {why: self._keys}, self._note_end())

    def _reasons(self, good: npt.NDArray[np.bool_], found: KeyResults) -> Mapping[str, int]:
        if not self._cancelled or good.all():
            return found.reasons
        # A write that was cut off is unknown; that says nothing about the cluster's health.
        return {"cancelled": int((~good).sum())}

    def _note_end(self) -> float:
        if self._seconds is None:
            self._seconds = time.monotonic() - self._began
        return self._seconds


def reason_of(error: HoldfastError) -> str:
    """The name under which an error is counted: `DeadlineExceeded` is "deadline_exceeded"."""
    name = type(error).__name__
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]
