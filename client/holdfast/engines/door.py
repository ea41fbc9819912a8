"""One space as an engine sees it: calls that never wait and never raise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast._keys import Keys
from holdfast._pending import Pending
from holdfast._region import Region
from holdfast._segments import Segments
from holdfast._space import Space
from holdfast._status import Status
from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.started import Outcome, Started, reason_of
from holdfast.errors import HoldfastError, NotFound, Unauthenticated

if TYPE_CHECKING:
    from holdfast.engines.link import Link

CLOSE_S = 10.0
"""How long calls are waited for that still use memory which is let go."""
_FOUND = (Status.HIT,)
_KEPT = (Status.STORED, Status.PRESENT)
_SILENT = frozenset({"timed_out", "unknown", "node_down", "deadline_exceeded", "unavailable"})
"""Reasons which say that nobody answered."""


class Door:
    """Made by `Link.open`; usable at once, and full of misses until its space is open."""

    def __init__(self, name: str, fingerprint: Fingerprint, block_bytes: int, link: Link) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.block_bytes = block_bytes
        self.refused: HoldfastError | None = None
        """Why the cluster does not let this engine use the space."""
        self._link = link
        self._counters = link.counters
        self._space: Space | None = None
        self._opened: list[Callable[[], object]] = []

    @property
    def ready(self) -> bool:
        """Whether its space is open."""
        return self._space is not None

    def enter(self, space: Space) -> None:
        """The space is open from now on."""
        self._space = space
        self.refused = None
        self._call_opened()

    def shut(self) -> None:
        """Its space cannot be used any more: misses until it is open again."""
        self._space = None

    def refuse(self, error: HoldfastError) -> None:
        """The cluster says that this engine may not use the space, for now at least."""
        self.refused = error
        self._call_opened()

    def when_settled(self, callback: Callable[[], object]) -> None:
        """Calls `callback` when the space is open or was refused; at once if it is. On
        whichever thread hears of it: it must be short."""
        self._opened.append(callback)
        if self.ready or self.refused is not None:
            # Asked after it was noted, so that none is missed; called twice at worst.
            self._call_opened()

    def _call_opened(self) -> None:
        waiting, self._opened = self._opened, []
        for callback in waiting:
            callback()

    def register(self, buffer: Any) -> Region:
        """Registers host memory, see `Space.register`; needs no cluster."""
        return Region.of_buffer(buffer, self.block_bytes, CLOSE_S)

    def exists(self, keys: Keys) -> Started:
        """Starts to ask which keys are stored."""
        deadline_s = self._link.settings.lookup_deadline_ms / 1000
        return self._start(
            "lookup", keys, _FOUND, lambda space: space.futures.exists(keys, deadline=deadline_s)
        )

    def get(self, keys: Keys, segments: Segments, deadline_s: float | None = None) -> Started:
        """Starts to read blocks into `segments`. deadline_s: None for that of the settings."""
        if deadline_s is None:
            deadline_s = self._link.settings.load_deadline_ms / 1000
        return self._start(
            "load",
            keys,
            _FOUND,
            lambda space: space.futures.get(keys, segments, deadline=deadline_s),
        )

    def put(
        self,
        keys: Keys,
        segments: Segments,
        first_position: int = 0,
        deadline_s: float | None = None,
    ) -> Started:
        """Starts to write blocks out of `segments`, which must stay as they are until it ends.
        deadline_s: None for that of the settings."""
        if deadline_s is None:
            deadline_s = self._link.settings.save_deadline_ms / 1000
        return self._start(
            "save",
            keys,
            _KEPT,
            lambda space: space.futures.put(keys, segments, first_position, deadline=deadline_s),
        )

    def delete(self, keys: Keys) -> Started:
        """Starts to remove blocks; good are those that were there."""
        deadline_s = self._link.settings.save_deadline_ms / 1000
        return self._start(
            "delete", keys, _FOUND, lambda space: space.futures.delete(keys, deadline=deadline_s)
        )

    def _start(
        self,
        what: str,
        keys: Keys,
        good: tuple[Status, ...],
        call: Callable[[Space], Pending[Any]],
    ) -> Started:
        ended = partial(self._ended, what)
        space = self._space
        if space is None:
            why = "refused" if self.refused else "not_open"
            return Started(None, len(keys), good, self._counted(what), why)
        if not self._link.health.allows():
            return Started(None, len(keys), good, self._counted(what), "outage")
        try:
            pending = call(space)
        except (NotFound, Unauthenticated) as error:
            self.shut()
            self._link.reopen()
            return Started(None, len(keys), good, self._counted(what), reason_of(error))
        except HoldfastError as error:
            return Started(None, len(keys), good, self._counted(what), reason_of(error))
        return Started(pending, len(keys), good, ended)

    def _counted(self, what: str) -> Callable[[Outcome], None]:
        return lambda outcome: self._count(what, outcome)

    def _count(self, what: str, outcome: Outcome) -> None:
        good = int(outcome.good.sum())
        self._counters.add(f"{what}_blocks_good", good)
        self._counters.add(f"{what}_blocks_bad", len(outcome.good) - good)
        for reason, count in outcome.reasons.items():
            self._counters.add(f"{what}_bad/{reason}", count)

    def _ended(self, what: str, outcome: Outcome) -> None:
        self._count(what, outcome)
        silent = sum(count for why, count in outcome.reasons.items() if why in _SILENT)
        if "not_found" in outcome.reasons:
            self.shut()
            self._link.reopen()
        if silent and silent >= len(outcome.good):
            self._link.health.bad(max(outcome.reasons, key=lambda why: outcome.reasons[why]))
        elif len(outcome.good) and "cancelled" not in outcome.reasons:
            self._link.health.good()
