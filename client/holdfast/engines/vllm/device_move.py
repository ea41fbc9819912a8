"""Blocks on their way between a GPU's pages and the cluster."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from holdfast.engines.door import Door
from holdfast.engines.started import Outcome, Started
from holdfast.engines.vllm.step import Blocks

if TYPE_CHECKING:
    from holdfast.engines.vllm.lane import Lane


@dataclass(slots=True, eq=False)
class Piece:
    """Blocks of one move that have slots."""

    move: DeviceMove
    begin: int
    """Place of the first one in its move."""
    blocks: Blocks
    slots: Sequence[int]
    call: Started | None = None
    """The call that reads into the slots or writes out of them."""


class DeviceMove:
    """A `Moving` that goes on by itself, in pieces. All but `done`, `outcome` and `cancel` belongs
    to its lane, and is used under the lane's lock."""

    def __init__(
        self, lane: Lane, door: Door, blocks: Blocks, after: Any, deadline_s: float
    ) -> None:
        """after: what the engine had given the GPU to do when it asked for this."""
        self.door = door
        self.blocks = blocks
        self.after = after
        self.pieces: list[Piece] = []
        """Those under way."""
        self.begun = 0
        """Blocks, from the first on, that are or were in a piece."""
        self.copying = 0
        """Pieces whose copy was given to the GPU and has not ended."""
        self._lane = lane
        self._good = np.zeros(len(blocks.ids), dtype=np.bool_)
        self._reasons: Counter[str] = Counter()
        self._open = len(blocks.ids)
        self._ended = Event()
        self._began = time.monotonic()
        self._until = self._began + deadline_s
        self._seconds = 0.0
        self._end_if_all_told()

    # ------------------------------------------------------------------------ of the engine

    def done(self) -> bool:
        """Whether it has ended; nothing touches the engine's memory from then on."""
        if not self._ended.is_set() and self.remaining_s() <= 0:
            self._lane.give_up(self)
        return self._ended.is_set()

    def outcome(self) -> Outcome:
        """What became of it; waits for its end. What is not with the cluster at its deadline is
        given up; calls under way end then, and a copy under way with the engine's work before it.
        """
        if not self._ended.wait(max(0.0, self.remaining_s())):
            self._lane.give_up(self)
            self._ended.wait()
        return Outcome(self._good, dict(self._reasons), self._seconds)

    def cancel(self) -> None:
        """Ends it now; nothing touches the engine's memory once this returns. Waits for a copy
        that the GPU has begun, or that stands behind the engine's own work there."""
        self._lane.cancel(self)

    # ------------------------------------------------------------------------ of its lane

    @property
    def over(self) -> bool:
        """Whether every block's end is known."""
        return self._ended.is_set()

    @property
    def left(self) -> int:
        """Blocks that were never in a piece."""
        return len(self.blocks.ids) - self.begun

    def remaining_s(self) -> float:
        """Seconds to its deadline."""
        return self._until - time.monotonic()

    def take(self, slots: Sequence[int]) -> Piece:
        """Its next blocks, one for each slot."""
        begin, self.begun = self.begun, self.begun + len(slots)
        piece = Piece(self, begin, self.blocks.part(begin, self.begun), slots)
        self.pieces.append(piece)
        return piece

    def tell(self, piece: Piece, good: npt.NDArray[np.bool_], reasons: Mapping[str, int]) -> None:
        """`piece` has ended. good: bool[blocks of the piece]."""
        self.pieces.remove(piece)
        if self.over:
            return  # cancelled: its end is told
        self._good[piece.begin : piece.begin + len(good)] = good
        self._reasons.update(reasons)
        self._open -= len(good)
        self._end_if_all_told()

    def drop(self, why: str, *, also_begun: bool) -> None:
        """Gives up what is in no piece, or everything that has not ended."""
        dropped = self._open if also_begun else self.left
        self.begun = len(self.blocks.ids)
        if dropped:
            self._reasons[why] += dropped
            self._open -= dropped
            self._end_if_all_told()

    def _end_if_all_told(self) -> None:
        if not self._open and not self._ended.is_set():
            self._seconds = time.monotonic() - self._began
            self._ended.set()
