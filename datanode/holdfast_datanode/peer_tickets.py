"""The ticket with which this node reads on others, renewed at half of its life."""

from __future__ import annotations

import time
from collections.abc import Callable

from holdfast_proto import meta_pb2


class PeerTickets:
    """Keeps one ticket. Used by one thread."""

    def __init__(
        self,
        fetch: Callable[[], meta_pb2.Ticket],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._monotonic_s = monotonic_s
        self._ticket = b""
        self._renew_at_s = 0.0

    def current(self) -> bytes:
        """A ticket that is good for half of its life at least. Raises HoldfastError."""
        now_s = self._monotonic_s()
        if not self._ticket or now_s >= self._renew_at_s:
            fetched = self._fetch()
            self._ticket = fetched.bytes
            self._renew_at_s = now_s + fetched.lifetime_ms / 2000
        return self._ticket
