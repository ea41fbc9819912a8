"""Who watches the state, and when to tell them."""

from __future__ import annotations

import asyncio

from holdfast_kvstore.errors import Unavailable
from holdfast_metanode.state.machine import StateMachine


class ViewHub:
    """Wakes watchers when the map or what data nodes are told of has changed.

    A watcher that is slow sees only the newest state: there is no queue that could grow.
    """

    def __init__(self, machine: StateMachine) -> None:
        self._machine = machine
        self._waiting: asyncio.Future[None] | None = None
        self._closed = False
        self.version = 0
        """Of the newest view."""
        self.epoch = 0
        """Of the newest cluster map."""

    def poke(self) -> None:
        """The state moved; on the services' event loop."""
        with self._machine.view() as view:
            version, epoch = view.counters().view_version, view.epoch()
        if (version, epoch) != (self.version, self.epoch):
            self.version, self.epoch = version, epoch
            self._wake()

    def close(self) -> None:
        """Ends every watch."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.set_result(None)

    async def changed(self) -> None:
        """Waits for the next change. Raises Unavailable when the member stops."""
        if not self._closed:
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_future()
            # Shielded: one watcher that goes away must not cancel the others.
            await asyncio.shield(self._waiting)
        if self._closed:
            raise Unavailable("this metadata member stops: watch another one")
