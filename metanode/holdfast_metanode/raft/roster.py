"""Where members listen: what the configuration says, then what the cluster has registered."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping


class Roster:
    """Addresses by member id. Safe between threads."""

    def __init__(self, configured: Mapping[int, str]) -> None:
        self._configured = dict(configured)
        self._registered: dict[int, str] = {}
        self._lock = threading.Lock()

    def learn(self, registered: Iterable[tuple[int, str]]) -> None:
        """Replaces what the cluster has registered; it overrides the configuration."""
        with self._lock:
            self._registered = dict(registered)

    def configure(self, member_id: int, address: str) -> None:
        """Notes an address that the cluster may not have registered yet."""
        with self._lock:
            self._configured[member_id] = address

    def address_of(self, member_id: int) -> str | None:
        """`host:port`, or None for an unknown member."""
        with self._lock:
            return self._registered.get(member_id) or self._configured.get(member_id)

    def addresses(self) -> list[str]:
        """Of all members, by id; the registered ones once the cluster runs."""
        with self._lock:
            known = self._registered or self._configured
            return [known[member_id] for member_id in sorted(known)]
