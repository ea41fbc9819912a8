"""What LMCache submitted at once, until it is answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from threading import Lock

from holdfast.engines.lmcache.notices import Notice
from holdfast.engines.lmcache.object_name import ObjectName


class Kind(Enum):
    """What is asked; the value is its name in counters."""

    LOOKUP = "lookup"
    LOAD = "load"
    SAVE = "save"
    DELETE = "delete"

    @property
    def moves_bytes(self) -> bool:
        """Whether it has memory."""
        return self in (Kind.LOAD, Kind.SAVE)


class Batch:
    """Keys of one request, and what became of each so far. Safe between threads.

    Every call that is made for it is `begun` before and `ended` after; planning it counts as one.
    With the last end it is answered, once.
    """

    def __init__(
        self,
        number: int,
        kind: Kind,
        names: Sequence[ObjectName | None],
        views: Sequence[memoryview],
        until: float,
        answer: Callable[[Batch, Notice], object],
    ) -> None:
        """names: None for one that is unfit. views: memory of each, for a load or a save. until:
        when calls that have not been started are given up, on the monotonic clock."""
        self.number = number
        self.kind = kind
        self.names = names
        self.views = views
        self.until = until
        self._answer = answer
        self._lock = Lock()
        self._good = [False] * len(names)
        self._why: Counter[str] = Counter()
        self._open = 1

    def begun(self, calls: int) -> None:
        """So many more calls have to end before it is answered."""
        with self._lock:
            self._open += calls

    def good(self, indices: Iterable[int]) -> None:
        """These keys were found, loaded, kept or deleted."""
        with self._lock:
            for index in indices:
                self._good[index] = True

    def failed(self, why: str, keys: int = 1) -> None:
        """So many keys were not, for this reason."""
        with self._lock:
            self._why[why] += keys

    def ended(self, calls: int = 1) -> None:
        """So many calls have ended, and nothing touches their memory any more."""
        with self._lock:
            self._open -= calls
            last = self._open == 0
        if last:
            self.views = ()
            self._answer(self, self._notice())

    def _notice(self) -> Notice:
        if not self.kind.moves_bytes:
            return self.number, True, "", list(self._good)
        everything = all(self._good)
        told = ", ".join(f"{why} {count}" for why, count in self._why.most_common())
        missed = self._good.count(False)
        error = "" if everything else f"{missed} of {len(self._good)} objects failed: {told}"
        return self.number, everything, error, list(self._good) if self.kind is Kind.LOAD else None
