"""Hands out word of operations that have ended: to event loops and to done-callbacks."""

from __future__ import annotations

import asyncio
import logging
import os
import select
from collections.abc import Callable
from threading import Lock, Thread
from typing import Any

from holdfast._call import Call
from holdfast._native_errors import translated
from holdfast_native import Client, NativeError, Operation

_LOG = logging.getLogger("holdfast")
_POLL_MS = 1000
"""How often the callback thread looks whether it should end."""


class Completions:
    """Reads the client's event descriptor wherever somebody waits for it.

    Event loops watch it while they have calls under way; one thread does while done-callbacks
    are outstanding. Whoever reads a token settles it for everybody.
    """

    def __init__(self, native: Client) -> None:
        self._native = native
        self._descriptor = native.event_fd()
        self._lock = Lock()
        self._settle: dict[int, Callable[[], None]] = {}
        self._outstanding: dict[asyncio.AbstractEventLoop, int] = {}
        self._thread: Thread | None = None
        self._callbacks_open = 0
        self._closed = False
        self._process = os.getpid()

    def start(self, call: Call[Any], settle: Callable[[], None]) -> Operation:
        """Starts `call`; `settle` is called once it has ended, on whichever thread reads of it."""
        with self._lock:
            # Under the lock, so that nobody looks for the token before it is here.
            operation = call.start(True)
            self._settle[operation.token] = settle
        return operation

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Counts one more call of `loop` under way; the first one makes it watch."""
        with self._lock:
            count = self._outstanding.get(loop, 0)
            self._outstanding[loop] = count + 1
        if count == 0:
            loop.add_reader(self._descriptor, self.drain)

    def unwatch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Counts one less; the last one ends the watch."""
        with self._lock:
            count = self._outstanding.pop(loop) - 1
            if count:
                self._outstanding[loop] = count
        if count == 0:
            loop.remove_reader(self._descriptor)

    def drain(self) -> None:
        """Settles every operation that has ended since the last call."""
        try:
            tokens = self._native.completed()
        except NativeError:
            return  # closed meanwhile: `close` settles what is left
        with self._lock:
            ready = [self._settle.pop(token, None) for token in tokens]
        for settle in ready:
            if settle is not None:
                settle()

    def call_back(self, operation: Operation, callback: Callable[[], object]) -> None:
        """Calls `callback` once `operation` has ended: at once if it has, else on a thread."""

        def settle() -> None:
            with self._lock:
                self._callbacks_open -= 1
            _called(callback)

        try:
            # Raises in a forked child, which must not wait below for a parent's thread. Elsewhere
            # it is not asked: that would move bytes of whatever is under way on this thread.
            if os.getpid() != self._process and operation.done:
                _called(callback)
                return
            with self._lock:
                watched = operation.notify()
                if watched:
                    chained = self._settle.get(operation.token)
                    self._settle[operation.token] = _both(chained, settle)
                    self._callbacks_open += 1
                    self._keep_thread()
        except NativeError as error:
            raise translated(error) from error
        if not watched:
            _called(callback)

    def close(self) -> None:
        """Settles what is left and ends the thread at its next look.

        Called after the native client was closed, which ended every operation.
        """
        self._closed = True
        with self._lock:
            left, self._settle = list(self._settle.values()), {}
        for settle in left:
            settle()

    def _keep_thread(self) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._run, name="holdfast-callbacks", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        while not self._closed:
            if poller.poll(_POLL_MS):
                self.drain()
            with self._lock:
                if self._callbacks_open == 0:
                    # No thread while nobody needs one; the next callback starts another.
                    self._thread = None
                    return


def _both(first: Callable[[], None] | None, second: Callable[[], None]) -> Callable[[], None]:
    if first is None:
        return second

    def settle() -> None:
        first()
        second()

    return settle


def _called(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:
        _LOG.exception("a done-callback failed")
