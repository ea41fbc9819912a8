"""Who waits for which entry, and who for which read point."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from holdfast_kvstore.errors import HoldfastError, OutcomeUnknown, Unavailable
from holdfast_metanode.raft.requests import Done, Read

Outcome = tuple[Done, bytes | HoldfastError]


@dataclass(frozen=True, slots=True)
class _Waiting:
    term: int
    deadline_ms: int
    done: Done


class EntryWaiters:
    """Callers whose entry was appended here while this member led."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, index: int, term: int, deadline_ms: int, done: Done) -> list[Outcome]:
        """Waits for the entry of this index and term. Returns whom it replaces: their entry is
        lost, because this member has appended another one at its index since."""
        replaced = self._waiting.get(index)
        self._waiting[index] = _Waiting(term, deadline_ms, done)
        return [] if replaced is None else [(replaced.done, _lost())]

    def take(self, index: int, term: int, result: bytes) -> list[Outcome]:
        """The entry of `index` and `term` was applied with `result`."""
        found = self._waiting.pop(index, None)
        if found is None:
            return []
        return [(found.done, result if found.term == term else _lost())]

    def skip_to(self, index: int) -> list[Outcome]:
        """A snapshot replaced everything up to `index`: what became of it is not known here."""
        passed = [found for found in self._waiting if found <= index]
        return [(self._waiting.pop(found).done, _unknown()) for found in passed]

    def expire(self, now_ms: int) -> list[Outcome]:
        """Those whose deadline is over."""
        over = [index for index, found in self._waiting.items() if found.deadline_ms <= now_ms]
        return [(self._waiting.pop(index).done, _unknown()) for index in over]

    def end(self) -> list[Outcome]:
        """All of them: the host stops."""
        found: list[Outcome] = [(waiting.done, _unknown()) for waiting in self._waiting.values()]
        self._waiting.clear()
        return found


def _lost() -> HoldfastError:
    return Unavailable("another leader replaced this command before it was applied: send it again")


def _unknown() -> HoldfastError:
    return OutcomeUnknown(
        "the metadata cluster did not answer in time whether this was applied: send it again with "
        "the same client id and sequence"
    )


@dataclass(slots=True)
class _Round:
    asked_at_ms: int
    reads: list[Read]


@dataclass(order=True, slots=True)
class _Served:
    index: int
    number: int
    read: Read = field(compare=False)


class ReadWaiters:
    """Reads: first without a round, then in a round that asks the leader, then waiting to apply."""

    def __init__(self, retry_ms: int) -> None:
        self._retry_ms = retry_ms
        self._fresh: list[Read] = []
        self._rounds: dict[bytes, _Round] = {}
        self._served: list[_Served] = []
        self._number = 0

    def add(self, read: Read) -> None:
        """A read that was not asked for yet."""
        self._fresh.append(read)

    def next_round(self, now_ms: int) -> bytes | None:
        """The context of a round that covers every fresh read, or None if there is none."""
        late = [
            context
            for context, found in self._rounds.items()
            if now_ms - found.asked_at_ms >= self._retry_ms
        ]
        for context in late:
            self._fresh.extend(self._rounds.pop(context).reads)
        if not self._fresh:
            return None
        self._number += 1
        context = self._number.to_bytes(8, "big")
        self._rounds[context] = _Round(now_ms, self._fresh)
        self._fresh = []
        return context

    def not_asked(self, context: bytes) -> None:
        """The round could not be asked (no leader is known): try at a later turn."""
        self._fresh.extend(self._rounds.pop(context).reads)

    def answered(self, context: bytes, index: int) -> None:
        """The round's reads may be served once `index` is applied."""
        found = self._rounds.pop(context, None)
        for read in found.reads if found else []:
            self._number += 1
            heapq.heappush(self._served, _Served(index, self._number, read))

    def take(self, applied: int) -> list[Outcome]:
        """Reads that may be served now."""
        found: list[Outcome] = []
        while self._served and self._served[0].index <= applied:
            found.append((heapq.heappop(self._served).read.done, b""))
        return found

    def expire(self, now_ms: int) -> list[Outcome]:
        """Those whose deadline is over."""
        over: list[Outcome] = []
        self._fresh = self._kept(self._fresh, now_ms, over)
        for found in self._rounds.values():
            found.reads = self._kept(found.reads, now_ms, over)
        late = [served for served in self._served if served.read.deadline_ms <= now_ms]
        if late:
            over.extend((served.read.done, _no_leader()) for served in late)
            self._served = [s for s in self._served if s.read.deadline_ms > now_ms]
            heapq.heapify(self._served)
        return over

    @staticmethod
    def _kept(reads: list[Read], now_ms: int, over: list[Outcome]) -> list[Read]:
        over.extend((read.done, _no_leader()) for read in reads if read.deadline_ms <= now_ms)
        return [read for read in reads if read.deadline_ms > now_ms]

    def end(self) -> list[Outcome]:
        """All of them: the host stops."""
        over: list[Outcome] = []
        for found in self._rounds.values():
            self._fresh.extend(found.reads)
        self._fresh.extend(served.read for served in self._served)
        over.extend((read.done, _no_leader()) for read in self._fresh)
        self._rounds.clear()
        self._served, self._fresh = [], []
        return over


def _no_leader() -> HoldfastError:
    return Unavailable(
        "no leader confirmed this read in time: a majority of the metadata members must run and "
        "reach one another; try again"
    )
