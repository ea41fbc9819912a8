"""The secondary tier by itself: what the cluster holds of the engine's blocks, without the engine.

Used from the scheduler's thread only. Nothing here waits but `drain` and `close`, and nothing
raises but `close`: what cannot be served is a miss or a job that failed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from holdfast._keys import PackedKeys
from holdfast._segments import Segments
from holdfast.engines.door import Door
from holdfast.engines.link import Link
from holdfast.engines.started import Outcome, Started
from holdfast.engines.vllm_tier.answers import Answer, Answers
from holdfast.engines.vllm_tier.rows import Rows
from holdfast.engines.vllm_tier.settings import TierSettings
from holdfast.engines.vllm_tier.transfers import JobEnd, Piece, Transfers
from holdfast_kvstore.policies import LIMITS

GENERATION_BYTES = 16
_LOOKED_UP = frozenset({"absent"})
"""Why a key was not found although the cluster looked for it."""


class Tier:
    """Lookups, saves and loads of one engine.

    `door` is asked for the space at every use: it answers None until it is known which one.
    """

    def __init__(
        self,
        settings: TierSettings,
        link: Link,
        rows: Rows,
        door: Callable[[], Door | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._link = link
        self._rows = rows
        self._find_door = door
        self._clock = clock
        self._counters = link.counters
        self._since: dict[str, float] = {}
        self._waits_until: float | None = None
        self._generation = b""
        self._answers = self._no_answers()
        self._asked: list[tuple[list[bytes], list[Started]]] = []
        self._keys_per_call = LIMITS.keys_per_batch_max
        row = rows.shape.used_bytes
        self._saves = Transfers(
            self._start_save,
            max(1, min(settings.save_bytes_max, rows.nbytes // 2) // row),
            settings.save_deadline_ms / 1000,
            clock,
        )
        self._load_blocks_max = max(1, settings.load_bytes_max // row)
        self._loads = Transfers(
            self._start_load, self._load_blocks_max, settings.load_deadline_ms / 1000, clock
        )
        self._drained: list[JobEnd] = []

    # ------------------------------------------------------------------------ lookups

    def request_began(self, request: str) -> None:
        """From now on `request` may look keys up."""
        now = self._clock()
        self._since[request] = now
        if self._waits_until is None:
            self._waits_until = now + self._settings.start_wait_ms / 1000

    def request_ended(self, request: str) -> None:
        """It looks nothing up any more."""
        self._since.pop(request, None)

    def lookup(self, key: bytes, request: str) -> Answer:
        """Whether `key` is stored, as far as is known; what is not is asked at the step's end."""
        if self._open_door() is None:
            if self._still_opens():
                return Answer.LATER
            self._counters.bad("lookup", 1, "not_open")
            return Answer.MISS
        answer = self._answers.look(key, self._since.setdefault(request, self._clock()))
        if answer is None:
            self._counters.bad("lookup", 1, "no_room")
            return Answer.MISS
        return answer

    def end_step(self) -> None:
        """Asks for every key that this step wanted to know, and takes what was answered."""
        self._take_answers()
        unasked = self._answers.take_unasked()
        door = self._open_door()
        for first in range(0, len(unasked), self._keys_per_call):
            keys = unasked[first : first + self._keys_per_call]
            if door is None:  # gone since it was looked for
                self._answers.settle(keys, [False] * len(keys), firm=False)
                continue
            names = self._rows.names(keys, self._generation)
            self._asked.append((keys, [door.exists(part) for part in names]))

    def _take_answers(self) -> None:
        still: list[tuple[list[bytes], list[Started]]] = []
        for keys, calls in self._asked:
            if not all(call.done() for call in calls):
                still.append((keys, calls))
                continue
            outcomes = [call.outcome() for call in calls]
            found = np.logical_and.reduce([outcome.good for outcome in outcomes])
            firm = all(_LOOKED_UP.issuperset(outcome.reasons) for outcome in outcomes)
            self._answers.settle(keys, found, firm)
        self._asked = still

    def _open_door(self) -> Door | None:
        door = self._find_door()
        return door if door is not None and door.ready else None

    def _still_opens(self) -> bool:
        if self._waits_until is None or self._clock() >= self._waits_until:
            return False
        door = self._find_door()
        return (door is None or door.refused is None) and not self._link.health.failing

    # ------------------------------------------------------------------------ jobs

    def save(
        self,
        job: int,
        keys: Sequence[bytes],
        rows: npt.ArrayLike,
        groups: Sequence[int],
        positions: Sequence[int],
    ) -> None:
        """Starts to store rows, which stay as they are until the job has ended.

        groups, positions: of each key, its group of layers and the place of its block in the
        prefix. What does not fit is left out from the tail of the prefix.
        """
        order = sorted(range(len(keys)), key=lambda place: (positions[place], groups[place]))
        room = max(self._saves.room, 1 if self._saves.idle else 0)
        left_out = [keys[place] for place in order[room:]]
        self._counters.bad("save", len(left_out), "no_room")
        kept = sorted(order[:room], key=lambda place: (groups[place], positions[place]))
        where = np.asarray(rows, dtype=np.int64)
        pieces = [
            Piece([keys[place] for place in run], where[run], positions[run[0]])
            for run in _runs(kept, groups, positions, self._keys_per_call)
        ]
        self._saves.add(job, pieces, left_out)

    def load(self, job: int, keys: Sequence[bytes], rows: npt.ArrayLike) -> None:
        """Starts to load blocks into rows, which nobody else touches until the job has ended."""
        where = np.asarray(rows, dtype=np.int64)
        step = min(self._keys_per_call, max(1, self._load_blocks_max // 4))
        pieces = [
            Piece(list(keys[first : first + step]), where[first : first + step])
            for first in range(0, len(keys), step)
        ]
        self._loads.add(job, pieces)

    def finished(self) -> list[JobEnd]:
        """Jobs that have ended since the last call."""
        drained, self._drained = self._drained, []
        return drained + self._noted(self._saves.poll(), self._loads.poll())

    def drain(self) -> None:
        """Waits until no call touches the rows, which deadlines bound; `finished` then tells of
        every job. Unless it is set otherwise, what was stored before is not found any more."""
        self._drained += self._noted(self._saves.drain(), self._loads.drain())
        self._asked.clear()
        self._answers = self._no_answers()
        if not self._settings.keep_on_reset:
            self._generation = os.urandom(GENERATION_BYTES)
            self._counters.add("generations")

    def close(self) -> None:
        """Ends every call and lets the rows go. Raises DeadlineExceeded while one still uses
        them: the memory must not be given back then."""
        self._link.close()
        self._rows.close()

    def _no_answers(self) -> Answers:
        life_s = self._settings.lookup_life_ms / 1000
        return Answers(self._settings.lookup_keys_max, life_s, self._clock)

    def _noted(
        self, saves: tuple[list[JobEnd], int], loads: tuple[list[JobEnd], int]
    ) -> list[JobEnd]:
        for what, (ends, given_up) in (("save", saves), ("load", loads)):
            self._counters.bad(what, given_up, "not_started")
            for end in ends:
                self._counters.add(f"{what}_bytes", len(end.good) * self._rows.shape.used_bytes)
        for end in saves[0]:
            self._answers.forget(end.good)
        for end in loads[0]:
            self._answers.deny(end.bad)
        return saves[0] + loads[0]

    def _start_save(self, piece: Piece) -> list[Started]:
        door = self._find_door()
        if door is None:
            return [self._nowhere("save", piece)]
        return [door.put(*part, piece.first_position) for part in self._parts(piece)]

    def _start_load(self, piece: Piece) -> list[Started]:
        door = self._find_door()
        if door is None:
            return [self._nowhere("load", piece)]
        return [door.get(*part) for part in self._parts(piece)]

    def _parts(self, piece: Piece) -> Iterator[tuple[PackedKeys, Segments]]:
        """Names and memory of each part of its rows."""
        names = self._rows.names(piece.keys, self._generation)
        return zip(names, self._rows.segments(piece.rows), strict=True)

    def _nowhere(self, what: str, piece: Piece) -> Started:
        def ended(outcome: Outcome) -> None:
            self._counters.bad(what, len(outcome.good), "not_open")

        return Started(None, len(piece.keys), (), ended, "not_open")


def _runs(
    order: Sequence[int], groups: Sequence[int], positions: Sequence[int], longest: int
) -> Iterator[list[int]]:
    """Cuts places into runs of one group whose positions follow each other."""
    run: list[int] = []
    for place in order:
        if run and (
            len(run) == longest
            or groups[place] != groups[run[-1]]
            or positions[place] != positions[run[-1]] + 1
        ):
            yield run
            run = []
        run.append(place)
    if run:
        yield run
