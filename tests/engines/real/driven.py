"""A driver under way: a process in an engine's environment that answers lines of JSON."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

RESULT = "HOLDFAST_RESULT "
"""First characters of the line of its output in which a driver says what it saw."""
ANSWER_S = 300.0
END_S = 60.0
_TAIL_CHARACTERS = 3000


class DriverError(Exception):
    """A driver did not answer, or ended without a result; the text ends with what it said."""


class Driven:
    """It reads further lines of JSON, if it wants some, with `say`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        """process: with pipes at both ends. log: gets what it says beside its results."""
        self.process = process
        self.log = log
        self._results: SimpleQueue[Any] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"reads {log.name}", daemon=True)
        self._reader.start()

    def say(self, request: Mapping[str, Any]) -> None:
        """Sends one more line of JSON. Raises DriverError once it has ended."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise DriverError(f"status {self.process.wait(END_S)}: {self._tail()}") from None

    def next_result(self, timeout_s: float = ANSWER_S) -> Any:
        """The next result that it tells. Raises DriverError."""
        try:
            found = self._results.get(timeout=timeout_s)
        except Empty:
            raise DriverError(f"no answer within {timeout_s} s: {self._tail()}") from None
        if found is None:
            self._results.put(None)
            raise DriverError(f"status {self.process.wait(END_S)}: {self._tail()}")
        return found

    def result(self, timeout_s: float) -> Any:
        """Its last result, once it has ended. Raises DriverError."""
        end = time.monotonic() + timeout_s
        last = None
        try:
            while True:
                last = self.next_result(max(0.0, end - time.monotonic()))
        except DriverError:
            if self.process.poll() is None:
                self.kill()
                raise
            if last is None:
                raise
        return last

    def end_input(self) -> None:
        """Nothing more is said to it: it ends by itself."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def close(self) -> int:
        """Ends its input and waits until it has ended; answers its exit status."""
        self.end_input()
        try:
            status = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.returncode
        self._reader.join(END_S)
        return status

    def kill(self) -> None:
        """SIGKILL; returns once it is gone."""
        self.process.kill()
        self.process.wait(END_S)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.log.open("a") as log:
            for line in self.process.stdout:
                if line.startswith(RESULT):
                    self._results.put(json.loads(line.removeprefix(RESULT)))
                else:
                    log.write(line)
        self._results.put(None)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-_TAIL_CHARACTERS:]
