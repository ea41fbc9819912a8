"""Chooses the blocks that a request has filled and the cluster does not have yet."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence

from holdfast.engines.counters import Counters
from holdfast.engines.vllm.groups import KvGroup
from holdfast.engines.vllm.holds import Holds
from holdfast.engines.vllm.known_keys import KnownKeys
from holdfast.engines.vllm.record import BoundaryState, Record
from holdfast.engines.vllm.spaces import Spaces
from holdfast.engines.vllm.step import Blocks, Save, Saved


class SavePlanner:
    """A prefix is stored from its head on: where a block finds no room, its request's rest is
    dropped, because behind a hole it would be of no use."""

    def __init__(
        self,
        groups: Sequence[KvGroup],
        hash_tokens: int,
        spaces: Spaces,
        holds: Holds,
        stored: KnownKeys,
        failed: KnownKeys,
        counters: Counters,
    ) -> None:
        self._groups = groups
        self._hash_tokens = hash_tokens
        self._spaces = spaces
        self._holds = holds
        self._stored = stored
        self._failed = failed
        self._counters = counters

    def keys(self, group: KvGroup, record: Record, first: int = 0) -> list[bytes]:
        """The keys of the request's full blocks from `first` on: the engine's own hashes, each of
        which covers the whole prefix, and behind them what the engine's hashes leave out."""
        ratio = group.block_tokens // self._hash_tokens
        hashes = list(record.request.block_hashes[(first + 1) * ratio - 1 :: ratio])
        if record.salt is None:
            return hashes
        return [hashlib.sha256(record.salt + each).digest() for each in hashes]

    def plan(
        self, record: Record, computed: int, table_of: Callable[[], Sequence[Sequence[int]]]
    ) -> None:
        """Holds what is full once `computed` tokens are. table_of: answers the numbers of the
        request's blocks by group; asked only when one is full."""
        hashed = len(record.request.block_hashes) * self._hash_tokens
        parts: list[Blocks] = []
        table: Sequence[Sequence[int]] = ()
        nbytes = 0
        for group in self._groups:
            if group.kind == "state":
                continue
            first = record.saved[group.number]
            full = min(computed, hashed) // group.block_tokens
            if full <= first or record.stopped or not self._spaces.doors():
                continue
            each = self._spaces.block_bytes(group.number)
            table = table or table_of()
            for part in self._absent(group, record, table[group.number][first:full], first):
                room = min(len(part.ids), self._holds.room(nbytes) // each)
                if room:
                    parts.append(part.part(0, room))
                    nbytes += room * each
                if room < len(part.ids):
                    record.stopped = True
                    dropped = full - part.first_position - room
                    self._counters.add("save_blocks_dropped/no_room", dropped)
                    break
            record.saved[group.number] = full
        if parts:
            self._holds.hold(record.request.request_id, parts, nbytes)

    def plan_states(self, record: Record, states: Sequence[BoundaryState]) -> None:
        """Holds states that stand where a block ends: between such places a state goes on
        changing where it lies, and only the engine knows when it does not."""
        parts: list[Blocks] = []
        nbytes = 0
        for state in states:
            group = self._groups[state.group]
            place, inside = divmod(state.tokens, group.block_tokens)
            hashed = len(record.request.block_hashes) * self._hash_tokens
            if (
                inside
                or not 0 < state.tokens <= hashed
                or record.stopped
                or not self._spaces.doors()
            ):
                continue
            each = self._spaces.block_bytes(group.number)
            for part in self._absent(group, record, (state.block,), place - 1):
                if self._holds.room(nbytes) < each:
                    self._counters.add("save_blocks_dropped/no_room")
                    continue
                parts.append(part)
                nbytes += each
        if parts:
            self._holds.hold(record.request.request_id, parts, nbytes)

    def ended(self, record: Record | None, save: Save, saved: Saved) -> None:
        """A save has ended everywhere. record: its request's, if that still lives."""
        whole = True
        for part, kept in zip(save.blocks, saved.kept, strict=True):
            for key in part.keys[:kept]:
                self._stored.add((part.group, key))
                self._failed.discard((part.group, key))
            whole = whole and kept == len(part.keys)
        if whole or record is None:
            return
        if saved.poisoned:
            record.saved = [0] * len(record.saved)
        else:
            record.stopped = True

    def _absent(
        self, group: KvGroup, record: Record, ids: Sequence[int], first: int
    ) -> list[Blocks]:
        """Stretches of the blocks `ids`, the first of which has place `first`, that the engine
        still has and the cluster is not known to have."""
        keys = self.keys(group, record, first)
        wanted = [
            not self._holds.is_null(block)
            and (group.number, key) not in self._stored
            and (group.number, key) not in self._holds
            for block, key in zip(ids, keys, strict=False)
        ]
        parts = []
        for want, stretch in itertools.groupby(range(len(ids)), key=wanted.__getitem__):
            if want:
                places = list(stretch)
                begin, end = places[0], places[-1] + 1
                found = tuple(keys[begin:end]), tuple(ids[begin:end])
                parts.append(Blocks(group.number, *found, first + begin))
        return parts
