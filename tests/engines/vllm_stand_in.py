"""A small engine in the place of vLLM: block tables, reference counts, steps, and KV in numpy.

What it computes for a block is a function of the block's hash, layer and worker, so that every
byte that was loaded can be checked.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from holdfast._region import Region
from holdfast.engines.counters import Counters
from holdfast.engines.link import Link
from holdfast.engines.vllm.device_memory import DeviceMemory
from holdfast.engines.vllm.groups import KvGroup
from holdfast.engines.vllm.kv_memory import HostMemory, KvMemory, Page, joined
from holdfast.engines.vllm.record import BoundaryState
from holdfast.engines.vllm.scheduler_side import SchedulerSide
from holdfast.engines.vllm.settings import VllmSettings
from holdfast.engines.vllm.shard import Shard
from holdfast.engines.vllm.step import Report, Step
from holdfast.engines.vllm.tiles import tiles_of
from holdfast.engines.vllm.worker_side import Received, WorkerSide
from tests.engines.host_device import HostDevice

_LOG = logging.getLogger("tests.engines.stand_in")

HASH_TOKENS = 16
PAGE_BYTES = 4096
LAYERS = 2
_UNNAMED = 0xEE
"""Byte of a state that stands inside of a block."""
END_S = 30.0
"""Longest that a test waits for something that has a deadline of its own."""


@dataclass(slots=True)
class Block:
    """One block of the pool."""

    number: int
    is_null: bool = False
    users: int = 0


class Pool:
    """As vLLM's: block 0 is the null block, and counts of users keep blocks from reuse."""

    def __init__(self, blocks: int) -> None:
        self.blocks = [Block(number, is_null=number == 0) for number in range(blocks)]
        self._free = deque(range(1, blocks))
        self.free_at_start = self.free

    def take(self) -> int:
        """A free block."""
        number = self._free.popleft()
        self.blocks[number].users = 1
        return number

    def touch(self, blocks: Iterable[Block]) -> None:
        """One more user of each."""
        for block in blocks:
            assert block.users > 0 and not block.is_null
            block.users += 1

    def free_blocks(self, ordered_blocks: Iterable[Block]) -> None:
        """One user less of each."""
        for block in ordered_blocks:
            block.users -= 1
            assert block.users >= 0
            if block.users == 0:
                self._free.append(block.number)

    @property
    def free(self) -> int:
        """Blocks without users."""
        return len(self._free)


@dataclass(slots=True, eq=False)
class Request:
    """As vLLM's, in what the connector reads."""

    request_id: str
    tokens: list[int]
    num_computed_tokens: int = 0
    lora_request: Any = None
    skip_reading_prefix_cache: bool = False
    table: list[list[int]] = field(default_factory=list)

    @property
    def num_tokens(self) -> int:
        """Tokens known."""
        return len(self.tokens)

    @property
    def block_hashes(self) -> Sequence[bytes]:
        """Each covers all tokens before its end."""
        found, parent = [], b"none"
        for end in range(HASH_TOKENS, len(self.tokens) + 1, HASH_TOKENS):
            part = np.array(self.tokens[end - HASH_TOKENS : end], np.int64).tobytes()
            parent = hashlib.sha256(parent + part).digest()
            found.append(parent)
        return found


class Worker:
    """One worker's memory and side."""

    def __init__(self, engine: StandInEngine, rank: int, blocks: int, *, writes: bool) -> None:
        self.rank = rank
        self.memory = np.zeros((LAYERS, blocks, PAGE_BYTES), np.uint8)
        region = Region.of_buffer(self.memory, 1, 10.0)
        groups = engine.groups
        pages = {
            group.number: [
                Page(0, layer * blocks * PAGE_BYTES, PAGE_BYTES, PAGE_BYTES)
                for layer in range(LAYERS)
            ]
            for group in groups
        }
        self.device = HostDevice(
            {
                group: tiles_of(joined(each), [self.memory.ctypes.data])
                for group, each in pages.items()
            }
        )
        memory: KvMemory = HostMemory({0: region}, pages)
        if engine.on_device:
            sizes = dict.fromkeys(pages, LAYERS * PAGE_BYTES)
            memory = DeviceMemory(
                self.device, sizes, blocks, engine.settings, engine.counters, _LOG
            )
        self.shards = [
            Shard(
                group.number,
                f"tiny.r{rank}.g{group.number}",
                {"rank": rank, "group": group.number},
                LAYERS * PAGE_BYTES,
                writes,
            )
            for group in groups
        ]
        self.link = Link(engine.settings, engine.counters)
        self.side = WorkerSide(self.link, memory, self.shards)

    def content(self, key: bytes, layer: int, group: int) -> npt.NDArray[np.uint8]:
        """What this worker computes for a block."""
        seed = hashlib.sha256(key + bytes([layer, group, self.rank])).digest()
        return np.frombuffer(seed * (PAGE_BYTES // len(seed)), np.uint8)

    def holds(self, block: int, key: bytes, group: int) -> bool:
        """Whether a block's memory is what would have been computed."""
        return all(
            np.array_equal(self.memory[layer, block], self.content(key, layer, group))
            for layer in range(LAYERS)
        )

    def compute(self, block: int, key: bytes, group: int) -> None:
        """Computes a block."""
        for layer in range(LAYERS):
            self.memory[layer, block] = self.content(key, layer, group)


class StandInEngine:
    """Runs requests one step at a time. A context manager."""

    def __init__(
        self,
        reach: Mapping[str, Any],
        weights: str,
        *,
        groups: Sequence[KvGroup] = (KvGroup(0, HASH_TOKENS),),
        workers: int = 1,
        blocks: int = 256,
        replicated: bool = False,
        on_device: bool = False,
        **settings: Any,
    ) -> None:
        """weights: names the model; engines share blocks if it is equal. replicated: all workers
        hold the same, and the first one stores it. on_device: as if KV lay in a GPU's memory."""
        self.on_device = on_device
        self.settings = VllmSettings.of({"offer": "always", **reach, **settings})
        self.counters = Counters()
        self.groups = tuple(groups)
        self.pool = Pool(blocks)
        align = max(group.block_tokens for group in groups)
        self.link = Link(self.settings, self.counters)
        self.scheduler = SchedulerSide(
            self.settings, self.link, self.groups, align, HASH_TOKENS, workers
        )
        self.scheduler.bind(self.pool)
        ranks = [0] * workers if replicated else list(range(workers))
        self.workers = [
            Worker(self, rank, blocks, writes=number == 0 or not replicated)
            for number, rank in enumerate(ranks)
        ]
        shards = [shard for worker in self.workers for shard in worker.shards]
        self.scheduler.spaces.gather(shards, lambda: {"weights": weights})
        self.received = Received()
        self._arrivals: Counter[str] = Counter()
        self.failed: set[str] = set()
        """Requests with blocks that were not loaded."""
        self.requests: dict[str, Request] = {}

    def __enter__(self) -> StandInEngine:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.side.close()
        self.scheduler.close()
        self.link.close()

    # ------------------------------------------------------------------------ what a test does

    def until_open(self) -> None:
        """Until its spaces are open."""
        self.until(
            lambda: (
                bool(doors := self.scheduler.spaces.doors())
                and all(door.ready for each in doors.values() for door in each)
            )
        )

    def until(self, condition: Any, seconds: float = END_S) -> None:
        """Idle steps until `condition()`."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"not within {seconds} s: {self.counters.totals()}"
            self.step({})

    def arrive(self, name: str, tokens: Sequence[int], **named: Any) -> Request:
        """A new request."""
        request = Request(name, list(tokens), **named)
        request.table = [[] for _ in self.groups]
        self.requests[name] = request
        self.scheduler.arrived(request)
        return request

    def matched(self, request: Request) -> int:
        """Tokens that the cluster has for it, once that is known."""
        found: list[int | None] = [None]

        def answered() -> bool:
            found[0] = self.scheduler.matched(request, request.num_computed_tokens)[0]
            return found[0] is not None

        self.until(answered)
        assert found[0] is not None
        return found[0]

    def load(self, request: Request, tokens: int) -> bool:
        """Loads what was matched, beside other requests; whether all of it came."""
        self.begin_load(request, tokens)
        name = request.request_id
        self.until(lambda: name in self.received.requests)
        if name in self.failed:
            self.failed.remove(name)
            self._free(request)
            return False
        request.num_computed_tokens += tokens
        return True

    def begin_load(self, request: Request, tokens: int) -> None:
        """Makes room and gives the order."""
        self.make_room(request, request.num_computed_tokens + tokens, loading=True)
        self.scheduler.allocated(request, request.table, tokens)

    def compute(self, request: Request, tokens: int | None = None) -> Step:
        """One step that computes `tokens` of it; None: the rest."""
        end = request.num_tokens if tokens is None else request.num_computed_tokens + tokens
        self.make_room(request, end)
        return self.step({request.request_id: end - request.num_computed_tokens})

    def finish(self, request: Request) -> None:
        """Ends it."""
        self.scheduler.finished(request, request.table)
        self._free(request)
        del self.requests[request.request_id]

    def run(self, name: str, tokens: Sequence[int]) -> int:
        """A request from its arrival to its end; answers the tokens that were loaded."""
        request = self.arrive(name, tokens)
        found = self.matched(request)
        loaded = found if found and self.load(request, found) else 0
        assert self.holds(request)
        self.compute(request)
        self.finish(request)
        self.until(lambda: not self.scheduler.busy)
        return loaded

    def holds(self, request: Request) -> bool:
        """Whether the memory of all its computed blocks is right."""
        return all(
            worker.holds(block, key, group.number)
            for group in self.groups
            for block, key in self._computed(group, request, 0, request.num_computed_tokens)
            for worker in self.workers
        )

    # ------------------------------------------------------------------------ how steps go

    def step(self, scheduled: Mapping[str, int], ended: set[str] | None = None) -> Step:
        """One step of the engine. ended: requests that ended since the last one."""
        step = self.scheduler.step(
            scheduled, lambda name: self.requests[name].table, self._states(scheduled)
        )
        self.received = Received()
        report: Report | None = None
        for worker in self.workers:
            worker.side.begin(step)
            if step.wait:
                worker.side.load(step)
            self._forward(worker, scheduled)
            if not step.wait:
                worker.side.load(step)
            worker.side.save(step)
            self._join(worker.side.receive(ended or set()))
            told = worker.side.report()
            if report is None:
                report = told
            else:
                report.join(told)
        for name, tokens in scheduled.items():
            self.requests[name].num_computed_tokens += tokens
        assert report is not None
        self.scheduler.heard(report)
        return step

    def make_room(self, request: Request, tokens: int, *, loading: bool = False) -> None:
        """Blocks for its first `tokens` tokens. loading: those that the token behind them does
        not look at become the null block; of states that is so in every step."""
        for group, table in zip(self.groups, request.table, strict=True):
            skips = loading or group.kind == "state"
            needed = group.first_needed(tokens) if skips else 0
            while len(table) * group.block_tokens < tokens:
                table.append(0 if len(table) < needed else self.pool.take())

    def _join(self, received: Received) -> None:
        self._arrivals.update(received.requests)
        whole = {name for name, count in self._arrivals.items() if count == len(self.workers)}
        for name in whole:
            del self._arrivals[name]
        self.received.requests |= whole
        self.failed |= received.failed
        self.received.invalid_blocks |= received.invalid_blocks

    def _forward(self, worker: Worker, scheduled: Mapping[str, int]) -> None:
        for name, tokens in scheduled.items():
            request = self.requests[name]
            begin = request.num_computed_tokens
            for group in self.groups:
                if group.kind == "state":
                    running = (begin + tokens - 1) // group.block_tokens
                    worker.memory[:, request.table[group.number][running]] = _UNNAMED
                for block, key in self._computed(group, request, begin, begin + tokens):
                    worker.compute(block, key, group.number)

    def _states(self, scheduled: Mapping[str, int]) -> dict[str, list[BoundaryState]]:
        """Those that a step leaves at the end of a block."""
        found: dict[str, list[BoundaryState]] = {}
        for name, tokens in scheduled.items():
            request = self.requests[name]
            end = request.num_computed_tokens + tokens
            for group in self.groups:
                if group.kind == "state" and end % group.block_tokens == 0:
                    block = request.table[group.number][end // group.block_tokens - 1]
                    found.setdefault(name, []).append(BoundaryState(group.number, block, end))
        return found

    def _computed(
        self, group: KvGroup, request: Request, begin: int, end: int
    ) -> list[tuple[int, bytes]]:
        size, ratio = group.block_tokens, group.block_tokens // HASH_TOKENS
        if group.kind == "state":
            # What was there before is overwritten; within a block it is nothing that has a name.
            begin = max(begin, end // size * size - size) if end % size == 0 else end
        hashes = request.block_hashes
        table = request.table[group.number]
        return [
            (table[place], hashes[(place + 1) * ratio - 1])
            for place in range(begin // size, end // size)
            if table[place]
        ]

    def _free(self, request: Request) -> None:
        for table in request.table:
            self.pool.free_blocks([self.pool.blocks[number] for number in table if number])
            table.clear()
