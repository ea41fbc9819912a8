"""Starts daemons again that end, each by itself: one that keeps failing stops no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from holdfast.errors import Unavailable
from holdfast.local_cluster.daemon_process import DaemonProcess

RESTARTS_MAX = 5
"""Restarts of one daemon within `RESTART_WINDOW_S` before it is left as it is."""
RESTART_WINDOW_S = 60.0
EXIT_REMOVED = 3
"""Of a data node that an operator removed (docs/operations.md)."""


class Supervisor:
    """Looks after the daemons of one cluster. `report` is told what it does."""

    def __init__(
        self,
        members: Sequence[DaemonProcess],
        data_nodes: Sequence[DaemonProcess],
        report: Callable[[str], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._members = members
        self._data_nodes = data_nodes
        self._report = report
        self._monotonic_s = monotonic_s
        self._restarts: dict[str, list[float]] = {}
        self._left: set[str] = set()

    def look(self) -> None:
        """Starts again what has ended. Raises Unavailable once no metadata member can run."""
        for daemon in (*self._members, *self._data_nodes):
            if daemon.running:
                self._left.discard(daemon.name)
            elif daemon.name not in self._left:
                self._see_to(daemon)
        if self._left.issuperset(member.name for member in self._members):
            last = self._members[-1]
            raise Unavailable(
                f"no metadata member runs any more; {last.log_path} says:\n{last.log_tail()}"
            )

    def _see_to(self, daemon: DaemonProcess) -> None:
        now_s = self._monotonic_s()
        before = self._restarts.get(daemon.name, [])
        times = [then for then in before if now_s - then < RESTART_WINDOW_S]
        if daemon in self._data_nodes and daemon.exit_code == EXIT_REMOVED:
            self._left.add(daemon.name)
            self._report(
                f"{daemon.name} was removed from the cluster and has ended; the next start makes "
                "it a new node"
            )
        elif len(times) >= RESTARTS_MAX:
            self._left.add(daemon.name)
            self._report(
                f"{daemon.name} ended {RESTARTS_MAX + 1} times within {RESTART_WINDOW_S:g} s and "
                f"is not started again, the others go on; its log {daemon.log_path} says:\n"
                f"{daemon.log_tail()}"
            )
        else:
            self._restarts[daemon.name] = [*times, now_s]
            self._report(f"{daemon.name} ended with code {daemon.exit_code}: starting it again")
            daemon.start()
