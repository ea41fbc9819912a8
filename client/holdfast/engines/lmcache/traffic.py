"""Plans batches and starts their calls, in a thread of its own, so that a submit costs nothing."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Mapping
from queue import Empty, SimpleQueue
from threading import Lock, Thread

import numpy as np

from holdfast._region import Region
from holdfast.engines.fingerprint import Fact
from holdfast.engines.link import Link
from holdfast.engines.lmcache.batch import Batch, Kind
from holdfast.engines.lmcache.call import Call
from holdfast.engines.lmcache.spaces import Shelf, Spaces
from holdfast.engines.lmcache.span import UnfitMemoryError
from holdfast.engines.started import Outcome, Started, reason_of
from holdfast.errors import HoldfastError

_JOIN_S = 10.0


class Traffic:
    """Batches come in with `take`; each is answered when its last call has ended.

    A batch waits here while it is not known where its objects may lie, while a space is being
    opened and, if it moves bytes, for its turn: loads go before saves, and there is a bound on what
    is under way. What has not been started by the batch's deadline has failed.
    """

    def __init__(self, link: Link, facts: Mapping[str, Fact], bytes_in_flight_max: int) -> None:
        """facts: what bytes depend on, but model and size."""
        self._link = link
        self._spaces = Spaces(link, facts, self.look_again)
        self._bytes_max = {
            Kind.LOAD: bytes_in_flight_max,
            # So that a load finds little ahead of it on the wire.
            Kind.SAVE: bytes_in_flight_max // 4,
        }
        self._inbox: SimpleQueue[Batch | None] = SimpleQueue()
        self._unplanned: list[Batch] = []
        self._queues: dict[Kind, deque[Call]] = {
            kind: deque() for kind in (Kind.LOOKUP, Kind.DELETE, Kind.LOAD, Kind.SAVE)
        }
        """In the order in which they are looked at."""
        self._lock = Lock()
        self._bytes = 0
        self._under_way: dict[Call, tuple[Region | None, Started]] = {}
        self._stopping = False
        self._finished = False
        self._thread = Thread(target=self._run, name="holdfast-lmcache", daemon=True)
        self._thread.start()

    def take(self, batch: Batch) -> None:
        """Takes a batch over; never waits."""
        self._inbox.put(batch)
        if self._finished:
            self._refuse_inbox()

    def look_again(self) -> None:
        """Something has changed that batches may wait for."""
        self._inbox.put(None)

    def close(self) -> None:
        """Starts nothing any more and ends what is under way: all of it has failed, is answered,
        and its memory is let go."""
        self._stopping = True
        self._inbox.put(None)
        self._thread.join(_JOIN_S)
        with self._lock:
            under_way = list(self._under_way.items())
        for call, (_, started) in under_way:
            started.cancel()
            self._ended(call)

    def _run(self) -> None:
        while not self._stopping or self._unplanned or any(self._queues.values()):
            self._receive()
            now = time.monotonic()
            self._unplanned = [batch for batch in self._unplanned if not self._planned(batch, now)]
            for queue in self._queues.values():
                self._start_some(queue, now)
        self._finished = True
        self._refuse_inbox()

    def _receive(self) -> None:
        """Waits for news, for as long as nothing that waits reaches its deadline."""
        waiting = [batch.until for batch in self._unplanned]
        waiting += [call.batch.until for queue in self._queues.values() for call in queue]
        seconds = None
        if waiting:
            seconds = 0.0 if self._stopping else max(0.0, min(waiting) - time.monotonic())
        try:
            item = self._inbox.get(timeout=seconds)
            while True:
                if item is not None:
                    self._unplanned.append(item)
                item = self._inbox.get_nowait()
        except Empty:
            pass

    def _refuse_inbox(self) -> None:
        try:
            while True:
                item = self._inbox.get_nowait()
                if item is not None:
                    self._count(item, "closed", len(item.names))
                    item.ended()
        except Empty:
            pass

    # ------------------------------------------------------------------------ planning

    def _planned(self, batch: Batch, now: float) -> bool:
        """Whether it is known where everything lies or could lie: then its calls are queued."""
        given_up = self._stopping or now >= batch.until
        shelves = self._by_size(batch) if batch.kind.moves_bytes else self._by_name(batch)
        if shelves is None:
            if not given_up:
                return False
            self._count(batch, "closed" if self._stopping else "deadline", len(batch.names))
            shelves = {}
        calls = [call for shelf, at in shelves.items() for call in Call.cut(batch, shelf, at)]
        batch.begun(len(calls))
        self._queues[batch.kind].extend(calls)
        batch.ended()  # its planning
        return True

    def _by_size(self, batch: Batch) -> dict[Shelf, list[int]]:
        shelves: dict[Shelf, list[int]] = defaultdict(list)
        for index, (name, view) in enumerate(zip(batch.names, batch.views, strict=True)):
            shelf = None if name is None else self._spaces.shelf(name.model, view.nbytes)
            if shelf is None:
                self._count(batch, "unfit_name" if name is None else "unfit_size", 1)
            else:
                shelves[shelf].append(index)
        return shelves

    def _by_name(self, batch: Batch) -> dict[Shelf, list[int]] | None:
        shelves: dict[Shelf, list[int]] = defaultdict(list)
        for index, name in enumerate(batch.names):
            held = [] if name is None else self._spaces.may_hold(name)
            if held is None:
                return None
            for shelf in held:
                shelves[shelf].append(index)
        return shelves

    # ------------------------------------------------------------------------ calls

    def _start_some(self, queue: deque[Call], now: float) -> None:
        kept: list[Call] = []
        full = False
        while queue:
            call = queue.popleft()
            if self._stopping or now >= call.batch.until:
                self._give_up(call, "closed" if self._stopping else "deadline")
            elif self._will_open(call):
                kept.append(call)
            elif full or not self._fits(call):
                full = True
                kept.append(call)
            else:
                self._start(call)
        queue.extend(kept)

    def _will_open(self, call: Call) -> bool:
        door = call.shelf.door
        return not door.ready and door.refused is None and not self._link.health.failing

    def _fits(self, call: Call) -> bool:
        with self._lock:
            most = self._bytes_max.get(call.batch.kind)
            return most is None or self._bytes == 0 or self._bytes + call.nbytes <= most

    def _start(self, call: Call) -> None:
        with self._lock:
            self._bytes += call.nbytes
        try:
            region, started = call.start()
        except (HoldfastError, UnfitMemoryError) as error:
            self._let_go(call)
            self._give_up(call, _why(error))
            return
        with self._lock:
            self._under_way[call] = (region, started)
        started.when_done(lambda: self._ended(call))

    def _ended(self, call: Call) -> None:
        with self._lock:
            held = self._under_way.pop(call, None)
        if held is None:
            return  # `close` was here first
        region, started = held
        try:
            outcome = started.outcome()
            if region is not None:
                region.close()
            self._note(call, outcome)
        except HoldfastError as error:
            self._count(call.batch, reason_of(error), len(call.indices))
        finally:
            self._let_go(call)
            call.batch.ended()
            if call.nbytes:
                self.look_again()  # there is room for what waits

    def _note(self, call: Call, outcome: Outcome) -> None:
        good = outcome.good.reshape(-1, call.shelf.size.parts).all(axis=1)
        places = [int(place) for place in np.flatnonzero(good)]
        call.batch.good(call.indices[place] for place in places)
        names = call.names()
        for name in {names[place].family: names[place] for place in places}.values():
            self._spaces.learn(name, call.shelf.size.object_bytes)
        for why, blocks in outcome.reasons.items():
            call.batch.failed(why, blocks)

    def _let_go(self, call: Call) -> None:
        with self._lock:
            self._bytes -= call.nbytes

    def _give_up(self, call: Call, why: str) -> None:
        self._count(call.batch, why, len(call.indices))
        call.batch.ended()

    def _count(self, batch: Batch, why: str, objects: int) -> None:
        self._link.counters.add(f"{batch.kind.value}_objects_bad/{why}", objects)
        batch.failed(why, objects)


def _why(error: HoldfastError | UnfitMemoryError) -> str:
    return str(error) if isinstance(error, UnfitMemoryError) else reason_of(error)
