"""The one background thread of a cluster object: newest map, tickets renewed in time."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import weakref
from dataclasses import dataclass
from threading import Condition, Thread
from typing import TYPE_CHECKING

from holdfast._metadata import Watch
from holdfast._metadata_methods import WATCH_MAP
from holdfast._space_binding import SpaceBinding
from holdfast.errors import (
    Closed,
    DeadlineExceeded,
    HoldfastError,
    NotFound,
    PermissionDenied,
    Unauthenticated,
)
from holdfast_native import NativeError
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
_running: set[MapWatch] = set()
"""Every watch whose thread has not ended, for the interpreter's exit."""


@dataclass(slots=True)
class _Renewal:
    """When to renew one ticket; `binding` is None for the tenant's."""

    binding: SpaceBinding | None
    due_s: float


class MapWatch:
    """Follows the cluster map and renews tickets; serving goes on from the last map and tickets
    while no metadata member answers.

    Knows its session weakly: when nobody else holds that any more, the thread ends and closes
    what the session was made of.
    """

    def __init__(self, session: Session, tenant_life_s: float) -> None:
        self._session = weakref.ref(session)
        self._metadata = session.metadata
        self._native = session.native
        self._completions = session.completions
        self._process = os.getpid()
        self._changed = Condition()
        self._renewals = [_Renewal(None, time.monotonic() + RENEW_AT * tenant_life_s)]
        self._watch: Watch[pb.MapReply] | None = None
        self._interrupts = 0
        self._looked_s = {"map": 0.0, "tickets": 0.0}
        self._stopping = False
        self._abandoned = False
        self._thread = Thread(target=self._run, name="holdfast-map", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        _running.add(self)
        self._thread.start()

    def stop(self) -> None:
        """Tells the thread to end; returns at once."""
        self._stopping = True
        self._interrupt()

    def abandon(self) -> None:
        """Tells the thread to close everything and to end; returns at once.

        For finalizers: they run on any thread at any place, also within this object's own calls,
        so that this takes no lock but the condition's, which its holder can take again.
        """
        if os.getpid() == self._process:  # a forked child has no such thread
            self._abandoned = True
            self.stop()

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
        if self._may_look("map", REFRESH_S_MIN):
            self._interrupt()

    def refresh_tickets(self) -> None:
        """Renews every ticket soon: a data node refused something."""
        if self._may_look("tickets", RENEW_EARLY_S_MIN):
            self.renew_tickets()

    def renew_tickets(self) -> None:
        """Renews every ticket at once."""
        now_s = time.monotonic()
        with self._changed:
            for renewal in self._renewals:
                renewal.due_s = now_s
        self._interrupt()

    def _may_look(self, what: str, pause_s: float) -> bool:
        now_s = time.monotonic()
        with self._changed:
            if now_s - self._looked_s[what] < pause_s:
                return False
            self._looked_s[what] = now_s
            return True

    def _interrupt(self) -> None:
        with self._changed:
            self._interrupts += 1
            watch = self._watch
            self._changed.notify_all()
        if watch is not None:
            watch.cancel()

    def _run(self) -> None:
        try:
            self._follow_until_stopped()
            if self._abandoned:
                self._close_all()
        finally:
            _running.discard(self)

    def _close_all(self) -> None:
        self._metadata.close()
        with contextlib.suppress(NativeError):
            self._native.close(0)
        self._completions.close()

    def _follow_until_stopped(self) -> None:
        retry_s = RETRY_S_MIN
        while self._goes_on():
            try:
                self._renew_due()
                self._follow()
                retry_s = RETRY_S_MIN
            except HoldfastError as error:
                if not self._goes_on():
                    return
                _LOG.info("no news from the metadata cluster: %s", error)
                self._pause(retry_s)
                retry_s = min(retry_s * 2, RETRY_S_MAX)
            except Exception:
                if not self._goes_on():
                    return  # what the session is made of goes away beneath this thread
                # A fault here must not end the thread: without it tickets run out in silence.
                _LOG.exception("fault while following the cluster map")
                self._pause(RETRY_S_MAX)

    def _goes_on(self) -> bool:
        return not self._stopping

    def _pause(self, longest_s: float) -> None:
        with self._changed:
            if not self._stopping:
                self._changed.wait(longest_s)

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
                self._live().fail(error)
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
        session = self._live()
        if binding is None:
            return session.renew_tenant()
        return session.renew_space(binding)

    def _live(self) -> Session:
        """The session, for one step only: holding it any longer would keep it alive."""
        session = self._session()
        if session is None:
            raise Closed("the cluster object is gone")
        return session

    def _follow(self) -> None:
        """Installs maps as they come, until the next renewal, an interrupt or an error."""
        metadata = self._metadata
        with self._changed:
            interrupts = self._interrupts
            if self._stopping:
                return
            next_s = min(renewal.due_s for renewal in self._renewals) - time.monotonic()
        request = pb.MapRequest(known_epoch=self._native.epoch)
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
                self._live().install_map(reply)
        except HoldfastError as error:
            if watch.cancelled:
                return
            if not isinstance(error, DeadlineExceeded) or answers == 0:
                metadata.members.failed(watch.address)
            if not isinstance(error, DeadlineExceeded):
                raise
        finally:
            watch.cancel()
            with self._changed:
                self._watch = None


def join_all(deadline_s: float) -> None:
    """Waits for the threads of watches that were told to end, `deadline_s` for all of them."""
    end = time.monotonic() + deadline_s
    for watch in list(_running):
        watch.join(max(0.0, end - time.monotonic()))
