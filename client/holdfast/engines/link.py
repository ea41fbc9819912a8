"""An engine's connection to the cluster: opened, lost and found again in the background."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable
from threading import Event, Lock, Thread

import holdfast
from holdfast._cluster import Cluster, list_space_infos
from holdfast._space import Space
from holdfast._tls import Tls
from holdfast.engines.counters import Counters
from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Fingerprint
from holdfast.engines.health import PAUSE_S_MAX, PAUSE_S_MIN, Health
from holdfast.engines.kin import differing_facts
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
_END_S = 1.0
_KIN_MAX = 16
"""Spaces of the same kind that a new one is compared with."""


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

    def drop(self, door: Door) -> None:
        """Deletes the space of `door` with all blocks, for every engine that uses it; an empty one
        takes its place. Waits for the cluster; raises HoldfastError."""
        self._cluster.delete_space(door.name)

    def leave(self, door: Door) -> None:
        """Forgets a door; calls that it started go on."""
        with self._lock:
            self._doors = [each for each in self._doors if each is not door]

    def reopen(self) -> None:
        """A door found its space gone: opens it again in the background."""
        self._wake.set()

    def close(self) -> None:
        """Ends every call under way and the connection; closing twice does nothing.

        Waits a moment only. An attempt to reach a cluster that does not answer goes on for as
        long as it may, on a thread that nobody waits for, and no call is under way then.
        """
        closed_before = self._closing.is_set()
        self._closing.set()
        self._wake.set()
        if closed_before or os.getpid() != self._process:
            return
        ending = Thread(target=self._end, name="holdfast-link-end", daemon=True)
        ending.start()
        ending.join(_END_S)

    def _end(self) -> None:
        with self._lock:
            cluster = self._cluster
        with contextlib.suppress(HoldfastError):
            cluster.close()
        if self._thread is not None:
            self._thread.join()

    def _open_doors(self) -> None:
        pause_s = PAUSE_S_MIN
        while not self._closing.is_set():
            self._wake.clear()
            if self._closing.is_set():
                return  # asked after `clear`: it may have swallowed the word of it
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
        except HoldfastError as error:
            return self._closing.is_set() or self._not_opened(door, error)
        self.health.good()
        self.log.info("space %s is open", door.name)
        self._tell_kin(door)
        return True

    def _tell_kin(self, door: Door) -> None:
        """Says which blocks of the same kind of model cannot be used here, and why."""
        kind = door.name.rpartition("-")[0]
        try:
            infos = list_space_infos(self._cluster)
        except HoldfastError:
            return  # it was a courtesy
        others = [info for info in infos if info.name.startswith(kind) and info.name != door.name]
        newest = sorted(others, key=lambda info: info.created_at_ms)[-_KIN_MAX:]
        facts = differing_facts(door.fingerprint, [info.fingerprint for info in newest])
        for fact, spaces in facts.items():
            self.counters.add(f"fingerprint_differs/{fact}", spaces)
        if facts:
            self.log.info(
                "space %s: blocks of %d other spaces cannot be used here, they differ in %s",
                door.name, len(newest), ", ".join(sorted(facts)),
            )  # fmt: skip

    def _not_opened(self, door: Door, error: HoldfastError) -> bool:
        if not isinstance(error, _REFUSED):
            self.health.bad(str(error), certain=True)
            return False
        self.counters.add(f"spaces_refused/{reason_of(error)}")
        if door.refused is None:
            self.log.error(
                "space %s cannot be used, serving goes on without it: %s", door.name, error
            )
        door.refuse(error)
        if isinstance(error, Unauthenticated):
            self._read_key_again()
        return False

    def _read_key_again(self) -> None:
        """A key that was replaced lies where the old one lay. What the old one opened is shut."""
        try:
            fresh = _cluster_of(self.settings)
        except HoldfastError as error:
            self.log.info("the key cannot be read just now: %s", error)
            return
        with self._lock:
            if self._closing.is_set():
                return
            old, self._cluster = self._cluster, fresh
            doors = list(self._doors)
        for door in doors:
            door.shut()
        with contextlib.suppress(HoldfastError):
            old.close()

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
