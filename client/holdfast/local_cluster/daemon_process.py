"""One daemon as a child process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast.errors import FailedPrecondition, Unavailable
from holdfast.local_cluster.waiting import wait_for

LOG_TAIL_LINES = 12
STOP_DEADLINE_S = 10.0
_CHILD = "holdfast.local_cluster.child"


class DaemonProcess:
    """A daemon started from its configuration file; it dies with this process.

    Starting, killing, pausing and starting again are for tests and demonstrations, too.
    """

    def __init__(self, name: str, module: str, config_path: Path, log_path: Path) -> None:
        self.name = name
        self.config_path = config_path
        self.log_path = log_path
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline = -1

    @property
    def pid(self) -> int:
        """Its process id. Raises FailedPrecondition before the first start."""
        if self._process is None:
            raise FailedPrecondition(f"{self.name} was not started yet")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists (also while it is paused)."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended: None while it runs, negative for a signal."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Starts it; returns before it is ready. Raises FailedPrecondition while it runs."""
        if self.running:
            raise FailedPrecondition(f"{self.name} runs already as process {self.pid}")
        self._close_lifeline()
        theirs, self._lifeline = os.pipe()
        try:
            with self.log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command(theirs),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(theirs,),
                    # Ctrl-C reaches this process alone, which then stops its daemons in order.
                    start_new_session=True,
                )
        finally:
            os.close(theirs)

    def _command(self, descriptor: int) -> Sequence[str]:
        daemon = (self._module, "--config", str(self.config_path))
        return (sys.executable, "-m", _CHILD, str(descriptor), *daemon)

    def check_running(self) -> None:
        """Raises Unavailable with the end of its log if it has ended."""
        if not self.running:
            raise Unavailable(
                f"{self.name} ended with code {self.exit_code}; its log {self.log_path} says:\n"
                f"{self.log_tail()}"
            )

    def log_tail(self) -> str:
        """The last lines of its log."""
        if not self.log_path.exists():
            return "(nothing)"
        lines = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:]) or "(nothing)"

    def kill(self) -> None:
        """SIGKILL; returns once it is gone."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_DEADLINE_S)
        self._close_lifeline()

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing; returns once it stands still."""
        self._signal(signal.SIGSTOP)
        wait_for(f"pause of {self.name}", lambda: self._state() in "Tt", STOP_DEADLINE_S)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        self._signal(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """SIGTERM; returns at once."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM, and SIGKILL if it has not ended after `deadline_s`."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(STOP_DEADLINE_S)
        self._close_lifeline()

    def restart(self) -> None:
        """Starts it again with the same configuration; stops it first if it runs."""
        if self.running:
            self.stop()
        self.start()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _state(self) -> str:
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0]

    def _close_lifeline(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    def __repr__(self) -> str:
        state = f"process {self.pid}" if self.running else "not running"
        return f"<DaemonProcess {self.name}: {state}>"
