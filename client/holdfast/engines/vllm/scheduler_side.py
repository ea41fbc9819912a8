"""The half of the connector that decides: what is stored, what to load, what to save."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from holdfast.engines.link import Link
from holdfast.engines.vllm.adapters import Adapters
from holdfast.engines.vllm.groups import KvGroup, longest_hit
from holdfast.engines.vllm.holds import BlockPool, Holds
from holdfast.engines.vllm.known_keys import KnownKeys
from holdfast.engines.vllm.lookup import Lookup
from holdfast.engines.vllm.record import BoundaryState, EngineRequest, Record
from holdfast.engines.vllm.save_planner import SavePlanner
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.spaces import Spaces
from holdfast.engines.vllm.step import Blocks, Load, Report, Step
from holdfast.engines.vllm.worth import Worth

BlockTable = Sequence[Sequence[int]]
"""By KV group, the numbers of a request's blocks."""
_LOOKUP_S = 5.0
"""Age at which a lookup is made again before its answer is used."""
_FAILED_S = 30.0
_FAILED_MAX = 65_536
_STORED_S = 300.0
_STORED_MAX = 262_144


class SchedulerSide:
    """Runs in the process of the engine's scheduler. No method waits or does I/O."""

    def __init__(
        self,
        settings: VllmSettings,
        link: Link,
        groups: Sequence[KvGroup],
        align: int,
        hash_tokens: int,
        workers: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """align: tokens of which hits are whole multiples. hash_tokens: tokens of one block hash;
        every group's block is a whole multiple. workers: that answer to each save."""
        self.spaces = Spaces(link)
        self._asynchronous = settings.load == "async" or len(groups) > 1
        # A step must have a token to compute. Where requests wait for their load, the engine takes
        # back the last one itself; but a state that has seen a token cannot forget it.
        self._last_token_is_left = not self._asynchronous or any(
            group.kind == "state" for group in groups
        )
        self._counters = link.counters
        self._groups = tuple(groups)
        self._align = align
        self._hash_tokens = hash_tokens
        self._clock = clock
        self._records: dict[str, Record] = {}
        self._stored = KnownKeys(_STORED_MAX, _STORED_S, clock)
        self._failed = KnownKeys(_FAILED_MAX, _FAILED_S, clock)
        self._holds = Holds(workers, settings.save_bytes_max)
        self._saves = SavePlanner(
            self._groups,
            hash_tokens,
            self.spaces,
            self._holds,
            self._stored,
            self._failed,
            link.counters,
        )
        self._saving = settings.save
        self._lookup_s = settings.lookup_deadline_ms / 1000
        self._adapters = Adapters(link.counters, link.log)
        self._worth = Worth(settings.offer == "always", link.counters, clock)
        self._loads: list[Load] = []
        self._step = 0
        self._epoch = 0
        self._weights = 0

    # ------------------------------------------------------------------------ a request's life

    def bind(self, pool: BlockPool) -> None:
        """The pool that the engine's blocks belong to."""
        self._holds.bind(pool)

    def arrived(self, request: EngineRequest) -> None:
        """A new request: asks at once which of its blocks are stored."""
        record = Record(request, self._clock(), [0] * len(self._groups))
        self._records[request.request_id] = record
        self._ask(record)

    def matched(self, request: EngineRequest, computed: int) -> tuple[int | None, bool]:
        """Tokens stored behind the `computed` ones that the engine has itself, and whether they
        are loaded beside the running requests. None while the cluster has not answered."""
        record = self._records.get(request.request_id)
        if record is None or request.skip_reading_prefix_cache:
            return 0, False
        record.offered = None
        if record.lookup is None or self._is_old(record, record.lookup):
            self._ask(record)
        if record.lookup is None:
            return (None if self._is_waited_for(record) else 0), False
        if not record.lookup.done():
            return None, False
        record.asked_again = False
        tokens = self._hit(record, record.lookup, computed) - computed
        if tokens <= 0 or not self._worth.offers(tokens):
            return 0, False
        record.offered = (computed, tokens)
        return tokens, self._asynchronous

    def allocated(self, request: EngineRequest, table: BlockTable, tokens: int) -> None:
        """The engine made room for `tokens` of those that were offered: they will be loaded."""
        record = self._records.get(request.request_id)
        if tokens <= 0 or record is None or record.offered is None or record.lookup is None:
            return
        computed, offered = record.offered
        record.offered = None
        assert tokens <= offered, f"{tokens} tokens to load, {offered} were offered"
        blocks = [
            part
            for group in self._groups
            for part in self._parts(group, record.lookup, table, computed, computed + tokens)
        ]
        record.loading = tokens
        self._loads.append(Load(request.request_id, tuple(blocks)))

    def finished(self, request: EngineRequest, table: BlockTable) -> None:
        """The request ends; its blocks are still its own during this call."""
        record = self._records.pop(request.request_id, None)
        if record is None:
            return
        if record.lookup is not None:
            record.lookup.cancel()
        if not record.loading:
            self._plan_saves(record, request.num_computed_tokens, lambda: table)
        self._adapters.forget(request.request_id)

    # ------------------------------------------------------------------------ a step's life

    def step(
        self,
        scheduled: Mapping[str, int],
        table_of: Callable[[str], BlockTable],
        states: Mapping[str, Sequence[BoundaryState]],
    ) -> Step:
        """The orders of the step in which each request of `scheduled` gets so many tokens.

        states: by request, those of "state" groups that stay as the step's forward leaves them.
        """
        for name, tokens in scheduled.items():
            record = self._records.get(name)
            if record is not None:
                computed = record.request.num_computed_tokens + tokens
                self._plan_saves(record, computed, partial(table_of, name))
        for name, offered in states.items():
            record = self._records.get(name)
            if record is not None and self._may_save(record):
                self._saves.plan_states(record, offered)
        self._step += 1
        self._worth.step_begins(self._step, scheduled)
        loads, self._loads = tuple(self._loads), []
        return Step(
            number=self._step,
            epoch=self._epoch,
            weights=self._weights,
            generation=self.spaces.take_generation(),
            loads=loads,
            wait=bool(loads) and not self._asynchronous,
            saves=self._holds.take_unsent(),
            cancelled=self._holds.take_cancelled(),
        )

    def heard(self, report: Report) -> None:
        """What the workers say after a step."""
        self._worth.step_ended(report.step)
        if report.poisoned:
            self._epoch += 1
        for name, keys in report.failed.items():
            self._load_failed(name, keys)
        for name, seconds in report.loaded.items():
            self._loaded(name, seconds)
        if report.weights > self._weights:
            self._weights = report.weights
            self.reset()
        for number, saved in report.saved.items():
            told = self._holds.heard(number, saved)
            if told is not None:
                name, save, outcome = told
                self._saves.ended(self._records.get(name), save, outcome)

    @property
    def busy(self) -> bool:
        """Whether saves are under way, so that the engine must go on stepping to hear of them."""
        return self._holds.busy

    def let_go(self) -> None:
        """The engine wants all its blocks back, now: saves under way are given up."""
        blocks = self._holds.let_go()
        self._counters.add("save_blocks_dropped/engine_reset", blocks)

    def close(self) -> None:
        """Ends what runs in the background."""
        self._adapters.close()

    def reset(self) -> None:
        """What is stored was made with other weights: nothing of it is used any more."""
        self._counters.add("generations")
        self.spaces.renew()
        self._stored.clear()
        self._failed.clear()
        for record in self._records.values():
            # Of what it computes from now on, some stands on what it computed before.
            record.stopped = True
            record.lookup = record.offered = None

    # ------------------------------------------------------------------------ parts of the above

    def _ask(self, record: Record) -> None:
        doors = self.spaces.doors()
        record.asked_again = record.lookup is not None
        record.lookup = None
        if not doors or self.spaces.opening:
            return
        if record.request.block_hashes and self._salted(record):
            keys = {group.number: self._saves.keys(group, record) for group in self._groups}
            record.lookup = Lookup(doors, keys, self._clock())

    def _salted(self, record: Record) -> bool:
        """Whether everything that the request's keys stand on is known."""
        adapter = record.request.lora_request
        if adapter is not None and record.salt is None:
            record.salt = self._adapters.salt(adapter.lora_path, record.request.request_id)
        return adapter is None or record.salt is not None

    def _is_waited_for(self, record: Record) -> bool:
        """Whether a lookup is not possible yet and will soon be."""
        if self._clock() - record.arrived_at >= self._lookup_s:
            return False
        unsalted = record.request.lora_request is not None and record.salt is None
        return self.spaces.opening or (unsalted and bool(self.spaces.doors()))

    def _is_old(self, record: Record, lookup: Lookup) -> bool:
        if record.asked_again or not lookup.done():
            return False
        first = self._groups[0]
        ratio = first.block_tokens // self._hash_tokens
        grown = len(record.request.block_hashes) // ratio > len(lookup.keys[first.number])
        return grown or self._clock() - lookup.asked_at > _LOOKUP_S

    def _hit(self, record: Record, lookup: Lookup, computed: int) -> int:
        found = [self._found(group, lookup) for group in self._groups]
        limit = record.request.num_tokens - (1 if self._last_token_is_left else 0)
        return longest_hit(self._groups, found, computed, limit, self._align)

    def _found(self, group: KvGroup, lookup: Lookup) -> npt.NDArray[np.bool_]:
        found = lookup.found(group.number)
        for place, key in enumerate(lookup.keys[group.number]):
            block = (group.number, key)
            if not found[place]:
                self._stored.discard(block)
            elif block in self._failed:
                found[place] = False
            else:
                self._stored.add(block)
        return found

    def _parts(
        self, group: KvGroup, lookup: Lookup, table: BlockTable, computed: int, end: int
    ) -> list[Blocks]:
        first, last = computed // group.block_tokens, end // group.block_tokens
        keys, ids = lookup.keys[group.number], table[group.number]
        # All that the engine made room for: it will take every one of them for computed.
        places = [place for place in range(first, last) if not self._holds.is_null(ids[place])]
        if not places:
            return []
        return [
            Blocks(
                group.number,
                tuple(keys[place] for place in places),
                tuple(ids[place] for place in places),
                places[0],
            )
        ]

    def _plan_saves(self, record: Record, computed: int, table: Callable[[], BlockTable]) -> None:
        if self._may_save(record):
            self._saves.plan(record, computed, table)

    def _may_save(self, record: Record) -> bool:
        return self._saving and not record.stopped and self._holds.bound and self._salted(record)

    def _loaded(self, name: str, seconds: float) -> None:
        record = self._records.get(name)
        if record is not None and record.loading:
            self._worth.loaded(record.loading, seconds)
            record.loading = 0

    def _load_failed(self, name: str, keys: Sequence[tuple[int, bytes]]) -> None:
        for key in keys:
            self._failed.add(key)
            self._stored.discard(key)
        record = self._records.get(name)
        if record is not None:
            record.loading = 0
            record.lookup = None
            record.saved = [0] * len(self._groups)
