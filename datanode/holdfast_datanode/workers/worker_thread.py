"""Runs one worker in a thread of its own."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum

import structlog

from holdfast_datanode.workers.worker import Worker

_log = structlog.get_logger(__name__)
_RETRY_S_MIN, _RETRY_S_MAX = 0.2, 30.0


class WorkerState(StrEnum):
    """What a worker does now."""

    WORKING = "working"
    WAITING = "waiting"
    """For something to do, or for its budget."""
    PAUSED = "paused"
    FAILING = "failing"
    """Its last step raised; it is tried again with growing pauses."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker as tools show it."""

    name: str
    state: WorkerState
    steps: int
    errors: int
    last_error: str
    """Text of the newest error, empty if there was none."""
    figures: dict[str, int]
    """The worker's own."""


class WorkerThread:
    """Steps through a worker until it is stopped; can be paused between two steps."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._thread = threading.Thread(target=self._run, name=f"worker-{worker.name}", daemon=True)
        self._stopping = threading.Event()
        self._paused = threading.Event()
        self._state = WorkerState.STOPPED
        self._steps = 0
        self._errors = 0
        self._failed_in_a_row = 0
        self._last_error = ""

    def start(self) -> None:
        """Begins to work."""
        self._state = WorkerState.WAITING
        self._thread.start()

    def pause(self) -> None:
        """Lets the step under way end and begins no other until `resume`."""
        self._paused.set()

    def resume(self) -> None:
        """Goes on after `pause`."""
        self._paused.clear()
        self._worker.wake()

    def stop(self, timeout_s: float) -> bool:
        """Lets the step under way end; False if it had not by then."""
        self._stopping.set()
        self._worker.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> WorkerStatus:
        """What it does now and did so far."""
        return WorkerStatus(
            name=self._worker.name,
            state=self._state,
            steps=self._steps,
            errors=self._errors,
            last_error=self._last_error,
            figures=self._worker.status(),
        )

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._paused.is_set():
                self._state = WorkerState.PAUSED
                self._worker.wait(None)
                continue
            self._state = WorkerState.WORKING
            rest_s = self._step()
            if rest_s == 0 or self._stopping.is_set():
                continue
            if self._state is WorkerState.WORKING:
                self._state = WorkerState.WAITING
            self._worker.wait(rest_s)
        self._state = WorkerState.STOPPED

    def _step(self) -> float | None:
        try:
            rest_s = self._worker.work()
        except Exception as error:
            self._errors += 1
            self._failed_in_a_row += 1
            self._last_error = f"{type(error).__name__}: {error}"
            self._state = WorkerState.FAILING
            _log.warning("worker failed", worker=self._worker.name, error=self._last_error)
            doubled = _RETRY_S_MIN * 2.0 ** min(self._failed_in_a_row - 1, 16)
            return min(doubled, _RETRY_S_MAX)
        self._steps += 1
        self._failed_in_a_row = 0
        return rest_s
