"""Jobs of the engine: rows on their way to or from the cluster, a bounded number of bytes at once.

Used from one thread, which never waits here but in `drain`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from holdfast.engines.started import Started


@dataclass(frozen=True, slots=True)
class Piece:
    """Blocks of a job that travel in one call."""

    keys: list[bytes]
    rows: npt.NDArray[np.int64]
    """int64[keys]: where each lies."""
    first_position: int = 0
    """Place of the first in its prefix; the others come behind it."""


@dataclass(frozen=True, slots=True)
class JobEnd:
    """What became of a job."""

    job: int
    good: tuple[bytes, ...]
    """Keys whose blocks were stored or loaded."""
    bad: tuple[bytes, ...]
    seconds: float
    """From its submission to the moment at which its end was seen."""


@dataclass(slots=True)
class Job:
    """One job under way."""

    number: int
    began: float
    waiting: deque[Piece]
    bad: list[bytes] = field(default_factory=list)
    good: list[bytes] = field(default_factory=list)
    running: list[tuple[Piece, list[Started]]] = field(default_factory=list)

    def collect(self, wait: bool) -> int:
        """Takes note of pieces that have ended, or waits for all; answers how many blocks."""
        still: list[tuple[Piece, list[Started]]] = []
        blocks = 0
        for piece, calls in self.running:
            if not wait and not all(call.done() for call in calls):
                still.append((piece, calls))
                continue
            good = np.logical_and.reduce([call.outcome().good for call in calls])
            for key, kept in zip(piece.keys, good, strict=True):
                (self.good if kept else self.bad).append(key)
            blocks += len(piece.keys)
        self.running = still
        return blocks

    def give_up(self) -> int:
        """Counts as bad what has not started; answers how many blocks."""
        left = [key for piece in self.waiting for key in piece.keys]
        self.waiting.clear()
        self.bad.extend(left)
        return len(left)

    def end(self, now: float) -> JobEnd | None:
        """Its end, unless something is under way or waits."""
        if self.waiting or self.running:
            return None
        return JobEnd(self.number, tuple(self.good), tuple(self.bad), now - self.began)


class Transfers:
    """The jobs of one direction, first come, first served."""

    def __init__(
        self,
        start: Callable[[Piece], list[Started]],
        blocks_max: int,
        patience_s: float,
        clock: Callable[[], float],
    ) -> None:
        """start: begins a piece; several calls where a row is several blocks. blocks_max: under
        way at once, unless a single piece is larger. patience_s: how long a job may wait."""
        self._start = start
        self._blocks_max = blocks_max
        self._patience_s = patience_s
        self._clock = clock
        self._jobs: list[Job] = []
        self._blocks = 0

    @property
    def room(self) -> int:
        """Blocks that could start now."""
        return max(0, self._blocks_max - self._blocks)

    @property
    def idle(self) -> bool:
        """Whether no job is under way."""
        return not self._jobs

    def add(self, number: int, pieces: Sequence[Piece], left_out: Sequence[bytes] = ()) -> None:
        """Takes a job on and starts what fits. left_out: keys of it that are bad already."""
        job = Job(number, self._clock(), deque(pieces), bad=list(left_out))
        self._jobs.append(job)
        self._start_waiting()

    def poll(self) -> tuple[list[JobEnd], int]:
        """Jobs that have ended, and how many blocks were given up unstarted."""
        for job in self._jobs:
            self._blocks -= job.collect(wait=False)
        late = self._clock() - self._patience_s
        given_up = sum(job.give_up() for job in self._jobs if job.began < late)
        self._start_waiting()
        return self._ended(), given_up

    def drain(self) -> tuple[list[JobEnd], int]:
        """As `poll`, but waits for calls under way, which their deadlines bound, and gives up
        what has not started. Nothing touches the rows once this returns."""
        given_up = sum(job.give_up() for job in self._jobs)
        for job in self._jobs:
            self._blocks -= job.collect(wait=True)
        return self._ended(), given_up

    def _start_waiting(self) -> None:
        for job in self._jobs:
            while job.waiting:
                blocks = len(job.waiting[0].keys)
                if self._blocks and self._blocks + blocks > self._blocks_max:
                    return
                piece = job.waiting.popleft()
                self._blocks += blocks
                job.running.append((piece, self._start(piece)))

    def _ended(self) -> list[JobEnd]:
        now = self._clock()
        ends = {job.number: job.end(now) for job in self._jobs}
        self._jobs = [job for job in self._jobs if ends[job.number] is None]
        return [end for end in ends.values() if end is not None]
