"""The way to a pool's space, which is known once the weights are."""

from __future__ import annotations

from threading import Event

from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Facts, Fingerprint
from holdfast.engines.link import Link


class Opening:
    """Told the weights, it opens the space; nobody waits for that but who wants to."""

    def __init__(self, link: Link, label: str, facts: Facts, block_bytes: int) -> None:
        self._link = link
        self._label = label
        self._facts = facts
        self._block_bytes = block_bytes
        self._door: Door | None = None
        self._settled = Event()

    def open(self, weights: str) -> None:
        """weights: names them."""
        fingerprint = Fingerprint({**self._facts, "weights": weights})
        self._door = self._link.open(self._label, fingerprint, self._block_bytes)
        self._door.when_settled(self._settled.set)

    def give_up(self) -> None:
        """It is not to be had."""
        self._settled.set()

    def door(self) -> Door | None:
        """The door to the space; None until it is known which one that is."""
        return self._door

    def wait(self, timeout_s: float) -> None:
        """Waits until the space is open, or is known not to."""
        self._settled.wait(timeout_s)
