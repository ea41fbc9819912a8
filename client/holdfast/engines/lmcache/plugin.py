"""The class that LMCache's `native_plugin` adapter is given."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Sequence
from importlib import metadata
from threading import Lock
from typing import Any

from holdfast.engines.checkpoint import checkpoint_digest
from holdfast.engines.counters import Counters
from holdfast.engines.fingerprint import Fact
from holdfast.engines.link import Link
from holdfast.engines.lmcache.batch import Batch, Kind
from holdfast.engines.lmcache.hash_start import starts_at_random
from holdfast.engines.lmcache.notices import Notice, Notices
from holdfast.engines.lmcache.object_name import ObjectName, UnfitNameError
from holdfast.engines.lmcache.settings import LmcacheSettings
from holdfast.engines.lmcache.traffic import Traffic

_LOG = logging.getLogger("holdfast.engines.lmcache")
_UNFIT_TOLD = {
    "unstable_hash": "chunk hashes have fewer than 128 bits, as Python's own hash has: it differs "
    "between processes and two chunks may share one. Start `lmcache server` with "
    "`--hash-algorithm blake3`",
    "random_start": "chunk hashes start from a number that is random in each process: start "
    "`lmcache server` with PYTHONHASHSEED=0 in its environment",
    "unknown_form": "objects have names in a form that this version does not know",
}


class HoldfastPlugin:
    """LMCache's interface for asynchronous backends. Nothing here waits for the cluster.

    Every `submit_` answers a number at once; `drain_completions` answers, once, what became of
    each, after `event_fd` became readable. Nothing but a setting that can never work is raised. Any
    thread may call anything.
    """

    def __init__(self, **params: Any) -> None:
        """params: fields of `LmcacheSettings`. Raises ConfigInvalid and InvalidArgument for those
        that cannot work; a cluster that is not there costs misses."""
        settings = LmcacheSettings.of(params)
        self.counters = Counters()
        """Sums since the start: blocks, outages, objects refused, by reason."""
        self._settings = settings
        self._notices = Notices()
        self._numbers = itertools.count(1)
        self._lock = Lock()
        self._waiting = 0
        self._closed = False
        self._told: set[str] = set()
        facts = _facts(settings)
        self._link = Link(settings, self.counters, _LOG)
        self._traffic = Traffic(self._link, facts, settings.bytes_in_flight_max)

    def event_fd(self) -> int:
        """Readable while something has ended that was not drained."""
        return self._notices.descriptor

    def submit_batch_get(self, keys: Sequence[str], memoryviews: Sequence[memoryview]) -> int:
        """Starts to load each object into its memory, which stays in use until the end. Of an
        object that is not loaded the bytes are undefined."""
        return self._submit(Kind.LOAD, keys, memoryviews, self._settings.load_deadline_ms)

    def submit_batch_set(self, keys: Sequence[str], memoryviews: Sequence[memoryview]) -> int:
        """Starts to store each object out of its memory, which must stay as it is until the end."""
        return self._submit(Kind.SAVE, keys, memoryviews, self._settings.save_deadline_ms)

    def submit_batch_exists(self, keys: Sequence[str]) -> int:
        """Starts to ask which objects are stored."""
        return self._submit(Kind.LOOKUP, keys, (), self._settings.lookup_deadline_ms)

    def submit_batch_delete(self, keys: Sequence[str]) -> int:
        """Starts to remove objects."""
        return self._submit(Kind.DELETE, keys, (), self._settings.save_deadline_ms)

    def drain_completions(self) -> list[Notice]:
        """(number, ok, error, results) of each batch that ended since the last call. `ok`: of a
        load or save, whether every object was loaded or is kept. `results`: one bool a key; None
        of a save."""
        return self._notices.take()

    def close(self) -> None:
        """Ends what is under way, as failed, and the connection; nothing touches anybody's memory
        any more. Closing twice does nothing."""
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        self._traffic.close()
        self._link.close()
        self._notices.close()
        _LOG.info("closed; counted: %s", dict(self.counters.totals()))

    def _submit(
        self, kind: Kind, keys: Sequence[str], views: Sequence[memoryview], deadline_ms: int
    ) -> int:
        number = next(self._numbers)
        until = time.monotonic() + deadline_ms / 1000
        random = starts_at_random()
        names = [None if random else self._name(key) for key in keys]
        if random and keys:
            self._tell_unfit("random_start", len(keys))
        batch = Batch(number, kind, names, _memory(views), until, self._answered)
        if kind.moves_bytes and len(batch.views) != len(keys):
            self._refuse(batch, "memory_does_not_fit_keys")
        elif not self._admitted(len(keys)):
            self._refuse(batch, "closed" if self._closed else "too_many_waiting")
        else:
            self._traffic.take(batch)
        return number

    def _admitted(self, keys: int) -> bool:
        with self._lock:
            fits = self._waiting + keys <= self._settings.objects_waiting_max
            if self._closed or not fits:
                return False
            self._waiting += keys
            return True

    def _refuse(self, batch: Batch, why: str) -> None:
        self.counters.add(f"objects_refused/{why}", len(batch.names))
        with self._lock:
            self._waiting += len(batch.names)  # until it is answered, as any other
        batch.failed(why, len(batch.names))
        batch.ended()

    def _answered(self, batch: Batch, notice: Notice) -> None:
        with self._lock:
            self._waiting -= len(batch.names)
        self._notices.add(notice)

    def _name(self, key: str) -> ObjectName | None:
        try:
            return ObjectName.parse(key)
        except UnfitNameError as unfit:
            self._tell_unfit(unfit.reason, 1)
            return None

    def _tell_unfit(self, reason: str, objects: int) -> None:
        self.counters.add(f"objects_refused/{reason}", objects)
        if reason not in self._told:
            self._told.add(reason)
            _LOG.error("nothing is stored or loaded: %s", _UNFIT_TOLD[reason])


def _memory(views: Sequence[memoryview]) -> Sequence[memoryview]:
    """Some of LMCache's objects are plain bytes; what is no memory at all is left out."""
    try:
        return [memoryview(view) for view in views]
    except TypeError:
        return ()


def _facts(settings: LmcacheSettings) -> dict[str, Fact]:
    digest = None
    if settings.weights is not None:
        digest = checkpoint_digest(settings.weights)
    return {
        "engine": "lmcache",
        "object_format": settings.object_format or _lmcache_version(),
        "kv_dtype": settings.kv_dtype,
        "layout": settings.layout,
        "weights": digest,
        "model_revision": settings.model_revision,
    }


def _lmcache_version() -> str:
    """Major and minor: LMCache states no version of the layout of its objects."""
    try:
        return ".".join(metadata.version("lmcache").split(".")[:2])
    except metadata.PackageNotFoundError:
        return "unknown"
