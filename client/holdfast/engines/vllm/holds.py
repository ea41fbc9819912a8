"""Saves under way, and the engine's blocks that are kept from reuse meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.engines.vllm.known_keys import Key
from holdfast.engines.vllm.step import Blocks, Save, Saved


class BlockPool(Protocol):
    """The engine's pool of blocks: reference counts keep a block from reuse."""

    @property
    def blocks(self) -> Sequence[Any]:
        """All blocks, by number."""

    def touch(self, blocks: Iterable[Any]) -> None:
        """Counts one more user of each."""

    def free_blocks(self, ordered_blocks: Iterable[Any]) -> None:
        """Counts one less."""


@dataclass(slots=True)
class _Held:
    save: Save
    request: str
    nbytes: int
    saved: Saved | None = None


class Holds:
    """Each save holds its blocks until all workers have said what became of it."""

    def __init__(self, workers: int, bytes_max: int) -> None:
        """workers: of the engine. bytes_max: of all blocks held at once."""
        self._workers = workers
        self._bytes_max = bytes_max
        self._pool: BlockPool | None = None
        self._held: dict[int, _Held] = {}
        self._keys: set[Key] = set()
        self._nbytes = 0
        self._unsent: list[Save] = []
        self._cancelled: list[int] = []
        self._next = 0

    def bind(self, pool: BlockPool) -> None:
        """The pool that the blocks belong to."""
        self._pool = pool

    @property
    def bound(self) -> bool:
        """Whether blocks can be held."""
        return self._pool is not None

    @property
    def busy(self) -> bool:
        """Whether any save is under way or waits to be sent."""
        return bool(self._held)

    def room(self, nbytes: int) -> int:
        """Bytes that may be held beside `nbytes` more."""
        return max(0, self._bytes_max - self._nbytes - nbytes)

    def __contains__(self, key: Key) -> bool:
        return key in self._keys

    def is_null(self, block: int) -> bool:
        """Whether the engine dropped the block that stood here: out of its window."""
        assert self._pool is not None
        return bool(self._pool.blocks[block].is_null)

    def hold(self, request: str, blocks: Sequence[Blocks], nbytes: int) -> None:
        """Holds `blocks` of `request`; they go out with the next step."""
        assert self._pool is not None
        save = Save(self._next, tuple(blocks))
        self._next += 1
        self._pool.touch([self._pool.blocks[each] for part in blocks for each in part.ids])
        self._keys.update((part.group, key) for part in blocks for key in part.keys)
        self._nbytes += nbytes
        self._held[save.number] = _Held(save, request, nbytes)
        self._unsent.append(save)

    def take_unsent(self) -> tuple[Save, ...]:
        """Saves for the step that is being made."""
        unsent, self._unsent = tuple(self._unsent), []
        return unsent

    def take_cancelled(self) -> tuple[int, ...]:
        """Saves that the workers must end before they touch any block in the step that is being
        made."""
        cancelled, self._cancelled = tuple(self._cancelled), []
        return cancelled

    def let_go(self) -> int:
        """Lets go of everything at once; answers the blocks whose saves are given up."""
        sent = self._held.keys() - {save.number for save in self._unsent}
        self._cancelled.extend(sorted(sent))
        self._unsent = []
        given_up = 0
        for held in list(self._held.values()):
            self._release(held)
            given_up += sum(len(part.ids) for part in held.save.blocks)
        return given_up

    def heard(self, number: int, saved: Saved) -> tuple[str, Save, Saved] | None:
        """Some workers' word. Once it is all of them: lets go, and answers request and outcome."""
        held = self._held.get(number)
        if held is None:
            return None
        if held.saved is None:
            held.saved = saved
        else:
            held.saved.join(saved)
        if held.saved.workers < self._workers:
            return None
        self._release(held)
        return held.request, held.save, held.saved

    def _release(self, held: _Held) -> None:
        assert self._pool is not None
        del self._held[held.save.number]
        self._nbytes -= held.nbytes
        parts = held.save.blocks
        self._keys.difference_update((part.group, key) for part in parts for key in part.keys)
        self._pool.free_blocks([self._pool.blocks[each] for part in parts for each in part.ids])
