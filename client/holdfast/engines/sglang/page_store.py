"""Pages of one host pool in one space. Calls wait, up to their deadline, and never raise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from holdfast.engines.door import Door
from holdfast.engines.link import Link
from holdfast.engines.opening import Opening
from holdfast.engines.sglang.host_pages import HostPages, block_names
from holdfast.engines.sglang.page_layout import Numbers
from holdfast.engines.sglang.speeds import Speeds
from holdfast.engines.started import Started, reason_of
from holdfast.errors import HoldfastError

Mask = npt.NDArray[np.bool_]


class PageStore:
    """What SGLang's storage threads ask for a pool."""

    def __init__(
        self,
        link: Link,
        opening: Opening,
        pages: HostPages,
        *,
        writes: bool = True,
        start_wait_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """pages: the pool's, held until `close`. writes: False if another rank stores the same
        pages. start_wait_s: how long, from now, calls wait for the space to open."""
        self.pages = pages
        self.loads = Speeds()
        self.saves = Speeds()
        self._link = link
        self._opening = opening
        self._writes = writes
        self._clock = clock
        self._waits_until = clock() + start_wait_s

    @property
    def page_bytes(self) -> int:
        """Bytes of one page."""
        return self.pages.layout.page_bytes

    def exist(self, keys: Sequence[str]) -> Mask:
        """bool[keys]: which pages are stored."""
        names = block_names(keys, self.pages.parts)
        return self._all("lookup", len(keys), lambda door: [door.exists(part) for part in names])

    def load(self, keys: Sequence[str], slots: Numbers) -> Mask:
        """bool[keys]: which pages were read into `slots`. The others' bytes are undefined."""
        return self._pages_moved("load", self.pages, keys, slots, 0)

    def save(self, keys: Sequence[str], slots: Numbers, first_position: int) -> Mask:
        """bool[keys]: which pages are stored, of `slots`.

        first_position: place of the first page in its prefix.
        """
        if not self._writes:
            self._link.counters.add("save_pages_left_to_another_rank", len(keys))
            return np.ones(len(keys), np.bool_)
        return self._pages_moved("save", self.pages, keys, slots, first_position)

    def load_into(self, key: str, page: HostPages) -> bool:
        """Reads a page into memory beside the pool."""
        return bool(self._pages_moved("load", page, [key], np.zeros(1, np.int64), 0)[0])

    def save_out_of(self, key: str, page: HostPages) -> bool:
        """Stores a page from memory beside the pool."""
        if not self._writes:
            return True
        return bool(self._pages_moved("save", page, [key], np.zeros(1, np.int64), 0)[0])

    def clear(self) -> bool:
        """Drops everything in the space, for every engine that uses it; whether that was done."""
        door = self._opening.door()
        if door is None:
            return False
        try:
            self._link.drop(door)
        except HoldfastError as error:
            self._link.log.warning("space %s was not cleared: %s", door.name, error)
            return False
        return True

    def close(self) -> None:
        """Lets the pool's memory go, once nothing uses it any more."""
        try:
            self.pages.close()
        except HoldfastError as error:
            self._link.log.warning("memory of the host pool stays registered: %s", error)

    def _pages_moved(
        self, what: str, pages: HostPages, keys: Sequence[str], slots: Numbers, position: int
    ) -> Mask:
        try:
            segments = pages.segments(pages.layout.page_numbers(slots, len(keys)))
        except HoldfastError as error:
            return self._none(what, len(keys), reason_of(error))
        names = block_names(keys, pages.parts)
        began = self._clock()

        def start(door: Door) -> list[Started]:
            parts = zip(names, segments, strict=True)
            if what == "load":
                return [door.get(name, where) for name, where in parts]
            return [door.put(name, where, position) for name, where in parts]

        good = self._all(what, len(keys), start)
        count = int(good.sum())
        speeds = self.loads if what == "load" else self.saves
        speeds.note(count, count * self.page_bytes, self._clock() - began)
        return good

    def _all(self, what: str, keys: int, start: Callable[[Door], list[Started]]) -> Mask:
        """Which keys are good in every part; all parts are under way at once."""
        door = self._open_door()
        if door is None:
            return self._none(what, keys, "not_open")
        good = np.ones(keys, np.bool_)
        for started in start(door):
            good &= started.outcome().good
        return good

    def _open_door(self) -> Door | None:
        left_s = self._waits_until - self._clock()
        if left_s > 0 and not self._link.health.failing:
            self._opening.wait(left_s)
        return self._opening.door()

    def _none(self, what: str, keys: int, why: str) -> Mask:
        self._link.counters.bad(what, keys, why)
        return np.zeros(keys, np.bool_)
