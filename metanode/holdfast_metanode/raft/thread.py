"""The thread that turns a host in production."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from holdfast_metanode.raft.host import RaftHost

_LOG = structlog.get_logger("raft")


class HostThread:
    """Turns `host` until stopped. `fatal` is told of an error that the host cannot survive."""

    def __init__(self, host: RaftHost, fatal: Callable[[BaseException], None]) -> None:
        self._host = host
        self._fatal = fatal
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="raft-host", daemon=True)

    def start(self) -> None:
        """Begins turning."""
        self._thread.start()

    def stop(self, deadline_s: float) -> bool:
        """Ends after the present turn; False if it did not within the deadline."""
        self._stopping = True
        self._host.inbox.wake()
        self._thread.join(deadline_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._host.turn(self._host.inbox.take(self._host.wait_ms() / 1000))
            self._host.end()
        except BaseException as error:
            _LOG.critical("raft host failed", error=repr(error))
            self._fatal(error)
