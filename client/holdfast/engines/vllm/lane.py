"""One direction between a GPU's pages and the cluster: moves that share slots of host memory."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast.engines.counters import Counters
from holdfast.engines.door import Door
from holdfast.engines.started import Started
from holdfast.engines.vllm.device import BLOCKS_MAX, DeviceStream
from holdfast.engines.vllm.device_move import DeviceMove, Piece
from holdfast.engines.vllm.staging import Staging
from holdfast.engines.vllm.step import Blocks

_WAITING_MAX = 4_096
"""Moves that wait for slots; a further one is given up at once."""
_PIECES_AT_ONCE = 4
"""Pieces that share the slots: while one is copied, others are on the wire."""
SLOTS_MAX = _PIECES_AT_ONCE * BLOCKS_MAX
"""More of them would only be more calls at once."""
_CALL_S_MIN = 0.001
_JOIN_S = 10.0


class Lane(ABC):
    """Moves take turns, a piece at a time, so that a large one does not keep the others waiting.

    The engine's thread starts what has slots at once and never waits; all further steps are taken
    by a thread of the lane: it copies, and begins the next pieces. `_condition` guards moves,
    pieces and slots; no copy is waited for while it is held.
    """

    what = ""
    """For the names of counters and threads."""

    def __init__(
        self,
        stream: DeviceStream,
        staging: Staging,
        deadline_s: float,
        counters: Counters,
        log: logging.Logger,
    ) -> None:
        """deadline_s: of one move."""
        self._stream = stream
        self._staging = staging
        self._deadline_s = deadline_s
        self._counters = counters
        self._log = log
        self._warned = False
        self._piece_blocks = max(1, min(BLOCKS_MAX, staging.slots // _PIECES_AT_ONCE))
        self._condition = Condition()
        self._waiting: deque[DeviceMove] = deque()
        self._steps: SimpleQueue[Piece | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=f"holdfast-{self.what}", daemon=True)
        self._thread.start()

    def start(self, door: Door, blocks: Blocks, after: Any) -> DeviceMove:
        """Starts to move `blocks`. after: a mark that copies wait for."""
        move = DeviceMove(self, door, blocks, after, self._deadline_s)
        with self._condition:
            if len(self._waiting) < _WAITING_MAX:
                self._waiting.append(move)
                self._take_turns()
            else:
                self._drop(move, "busy")
        return move

    def give_up(self, move: DeviceMove) -> None:
        """The deadline of `move` is over: what is in no piece yet will not be."""
        with self._condition:
            self._drop(move, "deadline_exceeded")

    def cancel(self, move: DeviceMove) -> None:
        """Ends `move`; nothing touches its pages once this returns."""
        with self._condition:
            # Ended first, so that no further copy begins.
            self._drop(move, "cancelled", also_begun=True)
            for piece in move.pieces:
                if piece.call is not None:
                    piece.call.cancel()
            # As long as the engine's own work on the GPU and the copy behind it: neither can be
            # taken back.
            self._condition.wait_for(lambda: not move.copying)

    def close(self) -> None:
        """Ends the thread and lets the memory go; nothing is under way any more."""
        self._steps.put(None)
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            self._log.error("the GPU does not end a copy: its staging memory is kept")
            return
        self._stream.close()
        self._staging.close()

    # ------------------------------------------------------------------------ of each direction

    @abstractmethod
    def _begin(self, piece: Piece) -> None:
        """The first step of a piece that just got its slots. Under the lock; never waits."""

    @abstractmethod
    def _step(self, piece: Piece) -> None:
        """The next step of a piece, on the lane's thread; the last one ends it."""

    # ------------------------------------------------------------------------ parts of the above

    def _take_turns(self) -> None:
        while self._waiting:
            move = self._waiting[0]
            if move.remaining_s() <= 0:
                self._drop(move, "deadline_exceeded")
            count = min(self._piece_blocks, move.left)
            if count > self._staging.free:
                return  # whoever is next gets a whole piece: many small ones would cost more
            self._waiting.popleft()
            if count:
                piece = move.take(self._staging.take(count))
                if move.left:
                    self._waiting.append(move)
                self._begin(piece)

    def _called(self, piece: Piece, call: Started) -> None:
        piece.call = call
        call.when_done(lambda: self._steps.put(piece))

    def _run(self) -> None:
        while (piece := self._steps.get()) is not None:
            try:
                self._step(piece)
            except Exception as error:  # the device's own errors, of which this knows nothing
                self._failed(piece, error)

    def _copy(self, piece: Piece, places: Sequence[int], *, into_pages: bool) -> None:
        """Copies the blocks at `places` of `piece`, unless its move is over."""
        with self._condition:
            if piece.move.over or not len(places):
                return
            piece.move.copying += 1
        ids = [piece.blocks.ids[place] for place in places]
        slots = [piece.slots[place] for place in places]
        try:
            self._stream.copy(
                piece.blocks.group, ids, slots, piece.move.after, into_pages=into_pages
            )
        finally:
            with self._condition:
                piece.move.copying -= 1
                self._condition.notify_all()

    def _end(self, piece: Piece, good: npt.NDArray[np.bool_], reasons: Mapping[str, int]) -> None:
        with self._condition:
            self._staging.give(piece.slots)
            piece.move.tell(piece, good, reasons)
            if not good.all():
                # What stands behind a gap in a prefix is of no use.
                self._drop(piece.move, "not_tried")
            self._take_turns()

    def _failed(self, piece: Piece, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            self._log.error(
                "the GPU refuses to copy blocks (%s): such %ss count as device_error",
                error,
                self.what,
            )
        blocks = len(piece.slots)
        self._counters.bad(self.what, blocks, "device_error")
        self._end(piece, np.zeros(blocks, dtype=np.bool_), {"device_error": blocks})

    def _drop(self, move: DeviceMove, why: str, *, also_begun: bool = False) -> None:
        self._counters.bad(self.what, move.left, why)  # what was begun is counted by its call
        move.drop(why, also_begun=also_begun)


class LoadLane(Lane):
    """Out of the cluster into slots, then into pages, and only what was found."""

    what = "load"

    def _begin(self, piece: Piece) -> None:
        move = piece.move
        segments = self._staging.segments(piece.slots, move.door.block_bytes)
        seconds = max(_CALL_S_MIN, move.remaining_s())
        self._called(piece, move.door.get(piece.blocks.keys, segments, seconds))

    def _step(self, piece: Piece) -> None:
        assert piece.call is not None
        outcome = piece.call.outcome()
        self._copy(piece, np.flatnonzero(outcome.good).tolist(), into_pages=True)
        self._end(piece, outcome.good, outcome.reasons)


class SaveLane(Lane):
    """Out of pages into slots, then into the cluster."""

    what = "save"

    def _begin(self, piece: Piece) -> None:
        self._steps.put(piece)

    def _step(self, piece: Piece) -> None:
        if piece.call is not None:
            outcome = piece.call.outcome()
            self._end(piece, outcome.good, outcome.reasons)
            return
        self._copy(piece, range(len(piece.slots)), into_pages=False)
        with self._condition:
            if not piece.move.over:
                self._put(piece)
                return
        self._end(piece, np.zeros(len(piece.slots), dtype=np.bool_), {})

    def _put(self, piece: Piece) -> None:
        move, blocks = piece.move, piece.blocks
        segments = self._staging.segments(piece.slots, move.door.block_bytes)
        seconds = max(_CALL_S_MIN, move.remaining_s())
        self._called(piece, move.door.put(blocks.keys, segments, blocks.first_position, seconds))
