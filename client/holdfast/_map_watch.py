"""The one background thread of a cluster object: newest map, tickets renewed in time."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING

from holdfast._metadata import Watch
from holdfast._metadata_methods import WATCH_MAP
from holdfast._space_binding import SpaceBinding
from holdfast.errors import (
    DeadlineExceeded,
    HoldfastError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from holdfast_proto import meta_pb2 as pb

if TYPE_CHECKING:
    from holdfast._session import Session

_LOG = logging.getLogger("holdfast")
WATCH_S_MAX = 20.0
"""Longest life of one watch: a member that hangs holds no news back for longer."""
RENEW_AT = 0.5
"""Share of a ticket's life after which it is renewed."""
REFRESH_S_MIN = 0.1
"""Shortest time from one look at the map that calls asked for to the next."""
RENEW_EARLY_S_MIN = 1.0
"""The same for tickets: a full tenant's puts are refused, too, and must not flood the leader."""
RETRY_S_MIN = 0.1
RETRY_S_MAX = 2.0


@dataclass(slots=True)
class _Renewal:
    """When to renew one ticket; `binding` is None for the tenant's."""

    binding: SpaceBinding | None
    due_s: float


class MapWatch:
    """Follows the cluster map and renews tickets; serving goes on from the last map and tickets
    while no metadata member answers."""

    def __init__(self, session: Session, tenant_life_s: float) -> None:
        self._session = session
        self._changed = Condition()
        self._renewals = [_Renewal(None, time.monotonic() + RENEW_AT * tenant_life_s)]
        self._watch: Watch[pb.MapReply] | None = None
        self._interrupts = 0
        self._looked_s = -RENEW_EARLY_S_MIN
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="holdfast-map", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Tells the thread to end; returns at once."""
        self._stopping.set()
        self._interrupt()

    def join(self, deadline_s: float) -> None:
        """Waits for the thread's end."""
        self._thread.join(deadline_s)

    def keep_ticket(self, binding: SpaceBinding, life_s: float) -> None:
        """Renews the ticket of a space from now on."""
        renewal = _Renewal(binding, time.monotonic() + RENEW_AT * life_s)
        with self._changed:
            self._renewals = [r for r in self._renewals if r.binding is not binding]
            self._renewals.append(renewal)
            sooner = renewal.due_s < time.monotonic() + WATCH_S_MAX
        if sooner:
            self._interrupt()

    def refresh_map(self) -> None:
        """Asks for the map at once: a data node has a newer one."""
        if self._may_look(REFRESH_S_MIN):
            self._interrupt()

    def refresh_tickets(self) -> None:
        """Renews every ticket soon: a data node refused something."""
        if self._may_look(RENEW_EARLY_S_MIN):
            self.renew_tickets()

    def renew_tickets(self) -> None:
        """Renews every ticket at once."""
        now_s = time.monotonic()
        with self._changed:
            for renewal in self._renewals:
                renewal.due_s = now_s
        self._interrupt()

    def _may_look(self, pause_s: float) -> bool:
        now_s = time.monotonic()
        with self._changed:
            if now_s - self._looked_s < pause_s:
                return False
            self._looked_s = now_s
            return True

    def _interrupt(self) -> None:
        with self._changed:
            self._interrupts += 1
            watch = self._watch
            self._changed.notify_all()
        if watch is not None:
            watch.cancel()

    def _run(self) -> None:
        retry_s = RETRY_S_MIN
        while not self._stopping.is_set():
            try:
                self._renew_due()
                self._follow()
                retry_s = RETRY_S_MIN
            except HoldfastError as error:
                if self._stopping.is_set():
                    return
                _LOG.info("no news from the metadata cluster: %s", error)
                with self._changed:
                    self._changed.wait(retry_s)
                retry_s = min(retry_s * 2, RETRY_S_MAX)
            except Exception:
                # A fault here must not end the thread: without it tickets run out in silence.
                _LOG.exception("fault while following the cluster map")
                with self._changed:
                    self._changed.wait(RETRY_S_MAX)

    def _renew_due(self) -> None:
        now_s = time.monotonic()
        with self._changed:
            due = [renewal for renewal in self._renewals if renewal.due_s <= now_s]
        for renewal in due:
            try:
                life_s = self._renew(renewal.binding)
            except NotFound as error:
                self._forget(renewal, error)
            except (Unauthenticated, PermissionDenied) as error:
                self._session.fail(error)
                raise
            except HoldfastError as error:
                # Tickets outlive this pause; the map is followed meanwhile.
                _LOG.info("ticket was not renewed: %s", error)
                renewal.due_s = time.monotonic() + RETRY_S_MAX
            else:
                renewal.due_s = time.monotonic() + RENEW_AT * life_s

    def _forget(self, gone: _Renewal, error: NotFound) -> None:
        with self._changed:
            # By identity: a space opened at this moment has put its own renewal in this place.
            self._renewals = [
                kept for kept in self._renewals if kept is not gone or kept.binding is None
            ]
        if gone.binding is None:
            _LOG.info("tenant ticket was not renewed: %s", error)
            gone.due_s = time.monotonic() + RETRY_S_MAX

    def _renew(self, binding: SpaceBinding | None) -> float:
        if binding is None:
            return self._session.renew_tenant()
        return self._session.renew_space(binding)

    def _follow(self) -> None:
        """Installs maps as they come, until the next renewal, an interrupt or an error."""
        metadata = self._session.metadata
        with self._changed:
            if self._stopping.is_set():
                return
            interrupts = self._interrupts
            next_s = min(renewal.due_s for renewal in self._renewals) - time.monotonic()
        request = pb.MapRequest(known_epoch=self._session.native.epoch)
        watch = metadata.stream(WATCH_MAP, request, min(WATCH_S_MAX, max(0.05, next_s)))
        with self._changed:
            self._watch = watch
            interrupted = interrupts != self._interrupts
        if interrupted:
            watch.cancel()
        answers = 0
        try:
            for reply in watch:
                answers += 1
                self._session.install_map(reply)
        except HoldfastError as error:
            if watch.cancelled:
                return
            if not isinstance(error, DeadlineExceeded) or answers == 0:
                metadata.members.failed(watch.address)
            if not isinstance(error, DeadlineExceeded):
                raise
        finally:
            with self._changed:
                self._watch = None
