"""An engine's connection to the cluster: opened, lost and found again in the background."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from threading import Event, Lock, Thread

import holdfast
from holdfast._cluster import Cluster
from holdfast._space import Space
from holdfast._tls import Tls
from holdfast.engines.counters import Counters
from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.health import PAUSE_S_MAX, PAUSE_S_MIN, Health
from holdfast.engines.settings import EngineSettings
from holdfast.engines.started import reason_of
from holdfast.errors import (
    HoldfastError,
    InvalidArgument,
    PermissionDenied,
    SpaceMismatch,
    Unauthenticated,
)

_REFUSED = (InvalidArgument, PermissionDenied, SpaceMismatch, Unauthenticated)
"""Answers that will not change by waiting: said as errors, and still tried again now and then."""


class Link:
    """The spaces of one engine process. Nothing here waits for the cluster but a thread of its own.

    A cluster that is not there yet costs misses; its spaces open when it comes.
    """

    def __init__(
        self,
        settings: EngineSettings,
        counters: Counters,
        log: logging.Logger | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises InvalidArgument and ConfigInvalid for an address or key that can never work."""
        self.settings = settings
        self.counters = counters
        self.log = log or logging.getLogger("holdfast.engines")
        self.health = Health(counters, self.log, clock)
        self._cluster = _cluster_of(settings)
        self._lock = Lock()
        self._doors: list[Door] = []
        self._closing = Event()
        self._wake = Event()
        self._thread: Thread | None = None
        self._process = os.getpid()

    def open(self, label: str, fingerprint: Fingerprint, block_bytes: int) -> Door:
        """A door to the space of `fingerprint`, which is made if there is none. Never waits.

        label: part of the space's name that a person reads. block_bytes: of every block.
        """
        name = fingerprint.space_name(self.settings.space, label)
        door = Door(name, fingerprint, block_bytes, self)
        with self._lock:
            self._doors.append(door)
            if self._thread is None:
                self._thread = Thread(target=self._open_doors, name="holdfast-link", daemon=True)
                self._thread.start()
        self._wake.set()
        return door

    def space_names(self) -> list[str]:
        """Names of the tenant's spaces. Waits for the cluster, so never on an engine's own
        thread; raises HoldfastError."""
        return self._cluster.spaces()

    def reopen(self) -> None:
        """A door found its space gone: opens it again in the background."""
        self._wake.set()

    def close(self) -> None:
        """Ends every call under way and the connection; closing twice does nothing."""
        self._closing.set()
        self._wake.set()
        if os.getpid() != self._process:
            return
        if self._thread is not None:
            self._thread.join(timeout=self.settings.lookup_deadline_ms / 1000 + 5.0)
        with contextlib.suppress(HoldfastError):
            self._cluster.close()

    def _open_doors(self) -> None:
        pause_s = PAUSE_S_MIN
        while not self._closing.is_set():
            self._wake.clear()
            with self._lock:
                shut = [door for door in self._doors if not door.ready]
            failed = [door for door in shut if not self._opened(door)]
            if failed:
                self._wake.wait(pause_s)  # a door that is new is not kept waiting
                pause_s = min(pause_s * 2, PAUSE_S_MAX)
            else:
                pause_s = PAUSE_S_MIN
                self._wake.wait()

    def _opened(self, door: Door) -> bool:
        try:
            door.enter(self._space(door))
        except _REFUSED as error:
            self.counters.add(f"spaces_refused/{reason_of(error)}")
            if door.refused is None:
                self.log.error("space %s cannot be used, serving goes on without it: %s",
                               door.name, error)  # fmt: skip
            door.refuse(error)
            return False
        except HoldfastError as error:
            self.health.bad(str(error), certain=True)
            return False
        self.health.good()
        return True

    def _space(self, door: Door) -> Space:
        return self._cluster.space(
            door.name,
            block_bytes=door.block_bytes,
            redundancy=None if self.settings.redundancy == "single" else self.settings.redundancy,
            ttl=self.settings.ttl_s,
            priority=self.settings.priority,
            fingerprint=door.fingerprint.text,
            create=True,
        )


def _cluster_of(settings: EngineSettings) -> Cluster:
    return holdfast.connect(
        settings.address,
        tenant=settings.tenant,
        key=settings.key,
        transport=settings.transport,
        lanes=settings.lanes,
        tls=Tls(settings.authority) if settings.authority else None,
    )
