"""The spaces that hold an engine's shards, as the scheduler's side knows them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from threading import Lock

from holdfast.engines.door import Door
from holdfast.engines.fingerprint import Facts, Fingerprint
from holdfast.engines.link import Link
from holdfast.engines.slow_facts import SlowFacts
from holdfast.engines.vllm.shard import Shard
from holdfast.engines.vllm.step import Generation

_GATHERED_SOON_S = 2.0
"""Requests wait for facts this long after a start: a large checkpoint takes minutes to read."""


class Spaces:
    """Opened once the facts that all shards stand on are known: they may take long to gather."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = Lock()
        self._shards: dict[str, Shard] = {}
        self._facts: Facts | None = None
        self._nonce: str | None = None
        self._generation = 0
        self._told = 0
        self._doors: dict[int, list[Door]] = {}
        self._gathered_soon_until = 0.0

    def gather(self, shards: Sequence[Shard], facts: Callable[[], Facts]) -> None:
        """Takes every worker's shards, and calls `facts` on a thread of its own."""
        self._shards = {shard.identity: shard for shard in shards}
        self._gathered_soon_until = time.monotonic() + _GATHERED_SOON_S
        SlowFacts(self._link, facts).when_known(self._known)

    def doors(self) -> dict[int, list[Door]]:
        """By KV group, a door to each shard; empty while nothing can be looked up or stored."""
        with self._lock:
            return self._doors

    @property
    def opening(self) -> bool:
        """Whether a space is about to open: lookups are not possible yet and will soon be."""
        with self._lock:
            doors = [door for doors in self._doors.values() for door in doors]
        if not doors:
            return time.monotonic() < self._gathered_soon_until
        unsettled = any(not door.ready and door.refused is None for door in doors)
        return unsettled and not self._link.health.failing

    def block_bytes(self, group: int) -> int:
        """Bytes of one block of `group` over all shards."""
        return sum(shard.block_bytes for shard in self._shards.values() if shard.group == group)

    def take_generation(self) -> Generation | None:
        """The spaces that workers are to open, if they were not told yet."""
        with self._lock:
            if self._told == self._generation or self._facts is None:
                return None
            self._told = self._generation
            spaces = {
                identity: (shard.label, self._fingerprint(shard))
                for identity, shard in self._shards.items()
            }
            return Generation(self._generation, spaces)

    def renew(self) -> None:
        """Leaves everything stored so far behind: spaces that nobody else uses take its place."""
        with self._lock:
            self._nonce = secrets.token_hex(16)
            if self._facts is not None:
                self._open()

    def _known(self, facts: Facts | None) -> None:
        if facts is None:
            self._gathered_soon_until = 0.0
            return
        with self._lock:
            self._facts = facts
            self._open()

    def _open(self) -> None:
        for doors in self._doors.values():
            for door in doors:
                self._link.leave(door)
        self._doors = {}
        for shard in self._shards.values():
            door = self._link.open(shard.label, self._fingerprint(shard), shard.block_bytes)
            self._doors.setdefault(shard.group, []).append(door)
        self._generation += 1

    def _fingerprint(self, shard: Shard) -> Fingerprint:
        renewed: Facts = {"generation": self._nonce} if self._nonce else {}
        return Fingerprint({**(self._facts or {}), **shard.facts, **renewed})
