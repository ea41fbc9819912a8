"""The way to a space some of whose facts take long to find."""

from __future__ import annotations

from threading import Event

from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Facts, Fingerprint
from holdfast.engines.link import Link
from holdfast.engines.slow_facts import SlowFacts


class Opening:
    """Opens the space once all facts are known; nobody waits for that but who wants to."""

    def __init__(
        self, link: Link, label: str, facts: Facts, slow: SlowFacts, block_bytes: int
    ) -> None:
        """facts: those known now. label, block_bytes: see `Link.open`."""
        self._link = link
        self._label = label
        self._facts = facts
        self._block_bytes = block_bytes
        self._door: Door | None = None
        self._settled = Event()
        slow.when_known(self._known)

    def door(self) -> Door | None:
        """The door to the space; None until it is known which one that is."""
        return self._door

    def wait(self, timeout_s: float) -> None:
        """Waits until the space is open, or is known not to."""
        self._settled.wait(timeout_s)

    def _known(self, found: Facts | None) -> None:
        if found is None:
            self._settled.set()
            return
        fingerprint = Fingerprint({**self._facts, **found})
        self._door = self._link.open(self._label, fingerprint, self._block_bytes)
        self._door.when_settled(self._settled.set)
