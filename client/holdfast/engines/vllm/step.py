"""What the scheduler's side tells the worker's side in each step, and what it hears back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.engines.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True)
class Blocks:
    """Blocks of one KV group that follow one another in a prefix."""

    group: int
    keys: tuple[bytes, ...]
    ids: tuple[int, ...]
    """Where each lies, or is to lie: the engine's block numbers."""
    first_position: int
    """Place of the first one in its prefix, blocks."""

    def part(self, begin: int, end: int) -> Blocks:
        """Those from `begin` up to `end`."""
        keys, ids = self.keys[begin:end], self.ids[begin:end]
        return Blocks(self.group, keys, ids, self.first_position + begin)


@dataclass(frozen=True, slots=True)
class Load:
    """Blocks of one request to be read."""

    request: str
    blocks: tuple[Blocks, ...]


@dataclass(frozen=True, slots=True)
class Save:
    """Blocks to be written; their memory stays as it is until every worker has answered."""

    number: int
    blocks: tuple[Blocks, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """The spaces to use from now on, by the identity of the shard that each holds."""

    number: int
    spaces: Mapping[str, tuple[str, Fingerprint]]
    """Label and fingerprint."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step's orders."""

    number: int
    epoch: int
    """Raised after a load failed under a running request: what was computed from its blocks in
    steps of a lower epoch must not be stored."""
    weights: int = 0
    """Changes of weights that the scheduler's side has heard of. What was ordered before one must
    not be loaded or stored after it."""
    generation: Generation | None = None
    """Set in its first step."""
    loads: tuple[Load, ...] = ()
    wait: bool = False
    """Whether this step's forward needs the loads."""
    saves: tuple[Save, ...] = ()
    cancelled: tuple[int, ...] = ()
    """Saves of earlier steps whose blocks are no longer held: to be ended before this step
    touches any block."""


@dataclass(slots=True)
class Saved:
    """What became of a save at some of the workers."""

    workers: int
    kept: tuple[int, ...]
    """Of each of its `Blocks`, how many from the first on are stored."""
    poisoned: bool = False
    """Whether it was given up because its bytes may be wrong."""

    def join(self, other: Saved) -> None:
        """Adds what other workers say of the same save."""
        self.workers += other.workers
        self.kept = tuple(map(min, self.kept, other.kept))
        self.poisoned = self.poisoned or other.poisoned


@dataclass(slots=True)
class Report:
    """What happened at some of the workers since their last report."""

    step: int
    """The step that it was made in."""
    saved: dict[int, Saved] = field(default_factory=dict)
    """By the save's number."""
    loaded: dict[str, float] = field(default_factory=dict)
    """Requests whose blocks were read, and the seconds that it took."""
    failed: dict[str, tuple[tuple[int, bytes], ...]] = field(default_factory=dict)
    """Requests with blocks that were not read: group and key of each."""
    poisoned: bool = False
    """Whether a load failed that a forward was waiting for."""
    weights: int = 0
    """How often the weights were replaced so far."""

    def join(self, other: Report) -> None:
        """Adds the report of other workers."""
        self.step = max(self.step, other.step)
        for number, saved in other.saved.items():
            if number in self.saved:
                self.saved[number].join(saved)
            else:
                self.saved[number] = saved
        for request, seconds in other.loaded.items():
            self.loaded[request] = max(seconds, self.loaded.get(request, 0.0))
        for request, keys in other.failed.items():
            self.failed[request] = self.failed.get(request, ()) + keys
        self.poisoned = self.poisoned or other.poisoned
        self.weights = max(self.weights, other.weights)
