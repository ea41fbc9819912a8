"""Facts that take long to find, a digest of a large checkpoint say."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread

from holdfast.engines.fingerprint import Facts
from holdfast.engines.link import Link
from holdfast.errors import ConfigInvalid, HoldfastError

Known = Callable[["Facts | None"], object]
_TO_SET = "; say where the weights lie with the setting weights, or name them with weights_id"


class SlowFacts:
    """Found once, on a thread of their own, while the engine starts.

    Those that cannot be found are counted and said once, and the engine goes on without the
    cluster.
    """

    def __init__(self, link: Link, find: Callable[[], Facts]) -> None:
        """find: may take long and may raise."""
        self._link = link
        self._find = find
        self._lock = Lock()
        self._waiting: list[Known] = []
        self._facts: Facts | None = None
        self._ended = False
        Thread(target=self._run, name="holdfast-facts", daemon=True).start()

    def when_known(self, callback: Known) -> None:
        """Calls `callback` with the facts, None if they are not to be had: on the thread that
        finds them, at once if that is done. It must be short."""
        with self._lock:
            if not self._ended:
                self._waiting.append(callback)
                return
        callback(self._facts)

    def _run(self) -> None:
        try:
            self._facts = self._find()
        except Exception as error:  # whatever an engine's own parts raise: others wait for an end
            known = isinstance(error, HoldfastError | OSError | ValueError)
            self._link.counters.add("facts_missing")
            self._link.log.error(
                "serving goes on without the cluster, what its blocks depend on is not known: %s%s",
                error,
                "" if isinstance(error, ConfigInvalid) else _TO_SET,  # that says it by itself
                exc_info=None if known else error,
            )
        with self._lock:
            self._ended = True
            waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback(self._facts)
