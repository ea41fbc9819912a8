"""Finds out what the weights are called, on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread

from holdfast.engines.link import Link
from holdfast.engines.sglang.opening import Opening
from holdfast.errors import HoldfastError


class Naming:
    """A large checkpoint takes a while to digest; the engine starts meanwhile, with misses."""

    def __init__(self, link: Link, weights: Callable[[], str]) -> None:
        """weights: names the weights; may take long, may raise OSError and HoldfastError."""
        self._link = link
        self._weights = weights
        self._lock = Lock()
        self._waiting: list[Opening] = []
        self._name: str | None = None
        self._ended = False
        Thread(target=self._find, name="holdfast-weights", daemon=True).start()

    def tell(self, opening: Opening) -> None:
        """Opens `opening` once the name is known; at once if it is."""
        with self._lock:
            if not self._ended:
                self._waiting.append(opening)
                return
        self._settle(opening)

    def _find(self) -> None:
        try:
            self._name = self._weights()
        except (OSError, ValueError, HoldfastError) as error:
            self._link.counters.add("spaces_refused/weights")
            self._link.log.error(
                "the weights cannot be digested, serving goes on without the cluster: %s; say "
                "where they lie with the setting weights, or name them with weights_id",
                error,
            )
        with self._lock:
            self._ended = True
            waiting, self._waiting = self._waiting, []
        for opening in waiting:
            self._settle(opening)

    def _settle(self, opening: Opening) -> None:
        if self._name is None:
            opening.give_up()
        else:
            opening.open(self._name)
