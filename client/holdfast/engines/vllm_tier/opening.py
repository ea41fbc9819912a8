"""The way to the tier's space, which is known once the weights are."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Facts, Fingerprint
from holdfast.engines.link import Link
from holdfast.errors import HoldfastError


class Opening:
    """Opens the space on a thread of its own: a large checkpoint takes a while to digest, and the
    engine starts meanwhile."""

    def __init__(
        self, link: Link, label: str, facts: Facts, weights: Callable[[], str], block_bytes: int
    ) -> None:
        """weights: names the weights; may take long, may raise OSError and HoldfastError."""
        self._link = link
        self._label = label
        self._facts = facts
        self._weights = weights
        self._block_bytes = block_bytes
        self._door: Door | None = None
        Thread(target=self._open, name="holdfast-weights", daemon=True).start()

    def door(self) -> Door | None:
        """The door to the space; None until it is known which one that is."""
        return self._door

    def _open(self) -> None:
        try:
            weights = self._weights()
        except (OSError, HoldfastError) as error:
            self._link.counters.add("spaces_refused/weights")
            self._link.log.error(
                "the weights cannot be digested, serving goes on without the cluster: %s; say "
                "where they lie with the tier's setting weights, or name them with weights_id",
                error,
            )
            return
        fingerprint = Fingerprint({**self._facts, "weights": weights})
        self._door = self._link.open(self._label, fingerprint, self._block_bytes)
