"""The bounded queue between everyone and the host's thread."""

from __future__ import annotations

import threading
from collections import deque

from holdfast_kvstore.errors import Busy
from holdfast_metanode.raft.requests import Item, Received


class Inbox:
    """Many producers, one consumer, which takes all that gathered: that is the group commit."""

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._items: deque[Item] = deque()
        self._ready = threading.Condition()
        self._woken = False

    def put(self, item: Item) -> None:
        """Raises Busy when full. Raft messages are dropped instead: Raft sends them again."""
        with self._ready:
            if len(self._items) >= self._items_max:
                if isinstance(item, Received):
                    return
                raise Busy(
                    f"{self._items_max} requests wait at this metadata member, the limit: try again"
                )
            self._items.append(item)
            self._ready.notify()

    def put_outcome(self, item: Item) -> None:
        """Adds the outcome of one of the host's own jobs; there are few, so no bound applies."""
        with self._ready:
            self._items.append(item)
            self._ready.notify()

    def wake(self) -> None:
        """Ends a `take` that waits."""
        with self._ready:
            self._woken = True
            self._ready.notify()

    def take(self, wait_s: float) -> list[Item]:
        """Everything that is there; waits up to `wait_s` for something."""
        with self._ready:
            if not self._items and not self._woken and wait_s > 0:
                self._ready.wait(wait_s)
            self._woken = False
            taken = list(self._items)
            self._items.clear()
            return taken
