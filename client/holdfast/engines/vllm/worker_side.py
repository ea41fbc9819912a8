"""The half of the connector that moves blocks between a worker's KV cache and the cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from holdfast.engines.door import Door
from holdfast.engines.link import Link
from holdfast.engines.vllm.deferred import Deferred
from holdfast.engines.vllm.kv_memory import KvMemory, Moving
from holdfast.engines.vllm.shard import Shard
from holdfast.engines.vllm.step import Blocks, Generation, Load, Report, Save, Saved, Step


@dataclass(slots=True)
class Received:
    """Loads that have ended since the last time, in the forms that the engine takes."""

    requests: set[str] = field(default_factory=set)
    """Whose memory is the engine's again."""
    failed: set[str] = field(default_factory=set)
    """Of those, the ones with blocks that were not read."""
    invalid_blocks: set[int] = field(default_factory=set)
    """The engine's numbers of those blocks."""


@dataclass(slots=True)
class _Loading:
    load: Load
    moving: list[tuple[Blocks, Moving]]
    unwanted: bool = False
    outdated: bool = False
    """Whether its blocks were made with other weights."""


@dataclass(slots=True)
class _Saving:
    save: Save
    moving: list[Moving | None]
    """None for a part that another worker stores."""


class WorkerSide:
    """Runs in a worker's process. Waits for nothing but loads that a forward needs."""

    def __init__(
        self,
        link: Link,
        memory: KvMemory,
        shards: Sequence[Shard],
    ) -> None:
        """shards: this worker's, one for each KV group."""
        self._link = link
        self._memory = memory
        self._shards = {shard.group: shard for shard in shards}
        self._doors: dict[int, Door] = {}
        self._loading: dict[str, _Loading] = {}
        self._saving: list[_Saving] = []
        self._received = Received()
        self._report = Report(0)
        self._poisoned = -1
        self._weights = 0

    def weights_changed(self) -> None:
        """The weights were replaced, between two steps: nothing made with the old ones is loaded
        any more, and nothing stored beside it, until the scheduler's side has started anew."""
        self._weights += 1
        self._report.weights = self._weights
        for loading in self._loading.values():
            loading.outdated = True
            for _, moving in loading.moving:
                moving.cancel()

    def begin(self, step: Step) -> None:
        """A step begins; called before it touches any block. A second call does nothing."""
        if step.number == self._report.step:
            return
        self._report.step = step.number
        for saving in self._saving:
            if saving.save.number in step.cancelled:
                for moving in saving.moving:
                    if moving is not None:
                        moving.cancel()
        if step.generation is not None:
            self._open(step.generation)

    def load(self, step: Step) -> None:
        """Starts the step's loads, and waits for them if its forward needs them."""
        for load in step.loads:
            mine = [part for part in load.blocks if part.group in self._shards]
            outdated = step.weights < self._weights
            moving = [] if outdated else [(part, self._load(part)) for part in mine]
            self._loading[load.request] = _Loading(load, moving, outdated=outdated)
        if step.wait:
            for load in step.loads:
                self._end_load(self._loading.pop(load.request), step.epoch)

    def save(self, step: Step) -> None:
        """Starts the step's saves, behind its forward."""
        for save in step.saves:
            if step.weights < self._weights:
                self._give_up(save, "weights_changed")
            elif step.epoch <= self._poisoned:
                self._give_up(save, "after_failed_load")
            else:
                self._saving.append(_Saving(save, [self._save(part) for part in save.blocks]))

    def receive(self, ended: set[str]) -> Received:
        """Loads that have ended. ended: requests that nobody waits for any more."""
        for name in ended & self._loading.keys():
            loading = self._loading[name]
            loading.unwanted = True
            for _, moving in loading.moving:
                moving.cancel()
        for name, loading in list(self._loading.items()):
            if all(moving.done() for _, moving in loading.moving):
                del self._loading[name]
                self._received.requests.add(name)
                self._end_load(loading, None)
        received, self._received = self._received, Received()
        return received

    def report(self) -> Report:
        """What the scheduler's side should hear after this step."""
        for saving in list(self._saving):
            if all(moving is None or moving.done() for moving in saving.moving):
                self._saving.remove(saving)
                self._end_save(saving)
        report, self._report = self._report, Report(self._report.step, weights=self._weights)
        return report

    def close(self) -> None:
        """Ends loads, gives saves the time that they have, and lets the memory go."""
        for loading in self._loading.values():
            for _, moving in loading.moving:
                moving.cancel()
        for saving in self._saving:
            self._end_save(saving)
        self._saving.clear()
        self._link.close()
        self._memory.close()

    # ------------------------------------------------------------------------ parts of the above

    def _open(self, generation: Generation) -> None:
        for loading in self._loading.values():
            # What it reads was made with other weights.
            for _, moving in loading.moving:
                moving.cancel()
        for door in self._doors.values():
            self._link.leave(door)
        self._doors = {}
        for group, shard in self._shards.items():
            label, fingerprint = generation.spaces[shard.identity]
            self._doors[group] = self._link.open(label, fingerprint, shard.block_bytes)

    def _load(self, part: Blocks) -> Moving:
        return self._moving(self._memory.load, part)

    def _save(self, part: Blocks) -> Moving | None:
        shard = self._shards.get(part.group)
        if shard is None or not shard.writes:
            return None
        return self._moving(self._memory.save, part)

    def _moving(self, move: Callable[[Door, Blocks], Moving], part: Blocks) -> Moving:
        door = self._doors[part.group]
        start = partial(move, door, part)
        if door.ready:
            return start()
        return Deferred(door, start, self._link.settings.lookup_deadline_ms / 1000)

    def _end_load(self, loading: _Loading, epoch: int | None) -> None:
        """epoch: of the step whose forward needs it; None if none does."""
        lost: list[tuple[int, bytes]] = []
        invalid: set[int] = set()
        seconds = 0.0
        for part, moving in loading.moving:
            outcome = moving.outcome()
            seconds = max(seconds, outcome.seconds)
            for place in np.flatnonzero(~outcome.good):
                lost.append((part.group, part.keys[place]))
                invalid.add(part.ids[place])
        if loading.outdated:
            mine = [part for part in loading.load.blocks if part.group in self._shards]
            lost = [(part.group, key) for part in mine for key in part.keys]
            invalid = {each for part in mine for each in part.ids}
        request = loading.load.request
        if loading.unwanted:
            return
        if not lost:
            self._report.loaded[request] = seconds
            return
        self._received.failed.add(request)
        self._received.invalid_blocks |= invalid
        self._report.failed[request] = tuple(lost)
        if epoch is not None:
            self._poisoned = epoch
            self._report.poisoned = True

    def _give_up(self, save: Save, why: str) -> None:
        """Stores nothing of bytes that may be wrong."""
        kept = (0,) * len(save.blocks)
        self._report.saved[save.number] = Saved(1, kept, poisoned=True)
        blocks = sum(len(part.keys) for part in save.blocks)
        self._link.counters.add(f"save_blocks_dropped/{why}", blocks)

    def _end_save(self, saving: _Saving) -> None:
        kept = tuple(
            len(part.keys) if moving is None else moving.outcome().prefix
            for part, moving in zip(saving.save.blocks, saving.moving, strict=True)
        )
        self._report.saved[saving.save.number] = Saved(1, kept)
