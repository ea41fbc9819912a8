"""One metadata member: messages, proposals and reads in; synced log, messages, applied state out.

`turn` is one round on one thread. Everything that gathered in the inbox since the last one goes
into the core at once, so that one sync of the log covers all of it. Production drives it from
`HostThread`, the simulation calls it with a simulated clock, network and disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from holdfast_kvstore.errors import (
    Busy,
    FailedPrecondition,
    HoldfastError,
    InvalidArgument,
    NotLeader,
    Unavailable,
)
from holdfast_metanode.clock import Clock
from holdfast_metanode.raft.inbox import Inbox
from holdfast_metanode.raft.requests import (
    CheckpointTaken,
    Done,
    Item,
    LeaderTransfer,
    MemberChange,
    Proposal,
    Read,
    Received,
    SnapshotStaged,
    Unreachable,
)
from holdfast_metanode.raft.seams import Jobs, Log, Network, Standing, TurnReport
from holdfast_metanode.raft.snapshots import SnapshotLimits, Snapshots, checkpoint_of
from holdfast_metanode.raft.waiters import EntryWaiters, ReadWaiters
from holdfast_metanode.state.machine import Applied, StateMachine
from holdfast_metanode.store.seam import Store
from holdfast_native import (
    ConfigurationChangeError,
    ConfigurationChangePendingError,
    LeaderNotReadyError,
    NotLeaderError,
    ProposalDroppedError,
    RaftConfig,
    RaftCore,
    RaftEffects,
    RaftEntry,
    RaftError,
    RaftMessage,
    RaftMessageError,
    RaftRecovered,
    RaftStatus,
)

_LOG = structlog.get_logger("raft")
_TICKS_PER_TURN_MAX = 2
_READ_RETRY_TICKS = 3


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Settings of one member's host."""

    raft: RaftConfig
    tick_ms: int
    inbox_items_max: int
    snapshots: SnapshotLimits


class RaftHost:
    """Owns the core. All but `submit`, `receive`, `unreachable`, `standing` and `stop` belongs to
    the thread that calls `turn`.

    `address_of` names a member's `host:port` for NotLeader. `tell` gets a `TurnReport` after a
    turn that had something to tell, and calls its `tell` on whatever thread the callers live on.
    """

    def __init__(
        self,
        config: HostConfig,
        recovered: RaftRecovered,
        *,
        log: Log,
        machine: StateMachine,
        store: Store,
        clock: Clock,
        network: Network,
        jobs: Jobs,
        seed: int,
        address_of: Callable[[int], str | None],
        tell: Callable[[TurnReport], None],
    ) -> None:
        self._config = config
        self._log = log
        self._machine = machine
        self._clock = clock
        self._network = network
        self._address_of = address_of
        self._tell = tell
        self._applied = machine.applied().index
        self._core = RaftCore(config.raft, recovered, applied=self._applied, seed=seed)
        self.inbox = Inbox(config.inbox_items_max)
        self._entries = EntryWaiters()
        self._reads = ReadWaiters(_READ_RETRY_TICKS * config.tick_ms)
        self._snapshots = Snapshots(
            config.raft.member_id,
            config.snapshots,
            self._core,
            log,
            store,
            network,
            jobs,
            self.inbox.put_outcome,
        )
        if self._core.configuration().voters == (config.raft.member_id,):
            self._core.campaign()  # nobody else could lead
        self._ticked_at_ms = clock.monotonic_ms()
        self._outcomes: list[tuple[Done, bytes | HoldfastError]] = []
        self._moved = False
        self.standing = Standing(applied=self._applied)
        """As of the last turn; any thread reads it."""
        self.status: RaftStatus = self._core.status()
        """As of the last tick; any thread reads it."""

    # ------------------------------------------------------------------------ any thread

    def submit(self, item: Item) -> None:
        """Queues a request; its `done` is told once. Raises Busy."""
        self.inbox.put(item)

    @property
    def log_syncs(self) -> int:
        """Syncs of the log since it was opened."""
        return self._log.sync_count

    # ------------------------------------------------------------------------ the host's thread

    def turn(self, items: Sequence[Item]) -> None:
        """Takes `items`, lets time pass, and does everything that follows from both.

        Raises what makes it impossible to go on: the process must end and recover.
        """
        for item in items:
            self._take(item)
        self._pass_time()
        self._ask_reads()
        while (effects := self._core.ready()) is not None:
            self._carry_out(effects)
        self._outcomes.extend(self._reads.take(self._applied))
        self._snapshots.consider(self._applied, self.status.window_bytes)
        self._publish()

    def wait_ms(self) -> int:
        """Time until the next tick is due."""
        due_ms = self._ticked_at_ms + self._config.tick_ms
        return max(0, due_ms - self._clock.monotonic_ms())

    def end(self) -> None:
        """Tells everyone who still waits that the outcome is unknown."""
        self._outcomes.extend(self._entries.end())
        self._outcomes.extend(self._reads.end())
        self._publish()

    def _take(self, item: Item) -> None:
        match item:
            case Received():
                for data in item.messages:
                    self._step(data)
            case Proposal():
                self._propose(item)
            case Read():
                self._reads.add(item)
            case MemberChange():
                self._change_members(item)
            case LeaderTransfer():
                self._transfer(item)
            case Unreachable():
                self._core.report_unreachable(item.member_id)
                self._snapshots.unreachable(item.member_id)
            case CheckpointTaken():
                self._snapshots.taken(item.checkpoint)
            case SnapshotStaged():
                self._snapshots.staged()
                if item.staged:
                    self._step(item.message, fetched=True)

    def _step(self, data: bytes, fetched: bool = False) -> None:
        try:
            message = RaftMessage.parse(data)
            if message.kind == "snapshot" and not fetched:
                self._snapshots.fetch(message)
            else:
                self._core.step(data)
        except RaftMessageError as error:
            _LOG.warning("raft message refused", error=str(error))

    def _propose(self, item: Proposal) -> None:
        try:
            index, term = self._core.propose(b"", item.data)
        except RaftError as error:
            self._outcomes.append((item.done, self._refusal(error)))
        else:
            self._outcomes.extend(self._entries.add(index, term, item.deadline_ms, item.done))

    def _change_members(self, item: MemberChange) -> None:
        try:
            index, term = self._core.propose_configuration_change(list(item.steps))
        except RaftError as error:
            self._outcomes.append((item.done, self._refusal(error)))
        else:
            self._outcomes.extend(self._entries.add(index, term, item.deadline_ms, item.done))

    def _transfer(self, item: LeaderTransfer) -> None:
        try:
            self._core.transfer_leader(item.member_id)
        except RaftError as error:
            self._outcomes.append((item.done, self._refusal(error)))
        else:
            self._outcomes.append((item.done, b""))

    def _refusal(self, error: RaftError) -> HoldfastError:
        match error:
            case NotLeaderError():
                leader = error.leader
                return NotLeader(None if leader is None else self._address_of(leader))
            case ProposalDroppedError() | ConfigurationChangePendingError():
                return Busy(f"the metadata leader cannot take this now ({error}): try again")
            case LeaderNotReadyError():
                return Unavailable(f"the metadata leader is not ready ({error}): try again")
            case ConfigurationChangeError():
                return FailedPrecondition(f"members cannot be changed this way: {error}")
        return InvalidArgument(f"the metadata cluster cannot take this: {error}")

    # ------------------------------------------------------------------------ time and reads

    def _pass_time(self) -> None:
        now_ms = self._clock.monotonic_ms()
        due = (now_ms - self._ticked_at_ms) // self._config.tick_ms
        if due <= 0:
            return
        for _ in range(min(due, _TICKS_PER_TURN_MAX)):
            self._core.tick()
        # A member that was paused does not make up for the time: it would only campaign.
        self._ticked_at_ms += due * self._config.tick_ms
        self._outcomes.extend(self._entries.expire(now_ms))
        self._outcomes.extend(self._reads.expire(now_ms))
        self._snapshots.tick(now_ms)
        self.status = self._core.status()

    def _ask_reads(self) -> None:
        context = self._reads.next_round(self._clock.monotonic_ms())
        if context is None:
            return
        try:
            self._core.read_index(context)
        except (NotLeaderError, LeaderNotReadyError):
            self._reads.not_asked(context)

    # ------------------------------------------------------------------------ effects

    def _carry_out(self, effects: RaftEffects) -> None:
        self._send(effects.messages)
        snapshot = effects.snapshot
        if snapshot is not None:
            # The state first: a crash in between finds it ahead of the log and moves the log up.
            checkpoint = checkpoint_of(snapshot.data)
            self._machine.install(checkpoint)
            self._snapshots.installed(checkpoint)
            self._applied = snapshot.index
            self._moved = True
            self._outcomes.extend(self._entries.skip_to(snapshot.index))
        self._log.persist(effects)
        self._send(effects.messages_after_persist)
        self._core.advance(effects.number)
        for context, index in effects.read_states:
            self._reads.answered(context, index)
        self._apply(effects.committed)
        for _, index in effects.snapshot_wanted:
            self._snapshots.wanted(index)
        soft_state = effects.soft_state
        if soft_state is not None:
            _LOG.info("raft role", role=soft_state.role, leader=soft_state.leader)

    def _send(self, messages: Sequence[RaftMessage]) -> None:
        if not messages:
            return
        for message in messages:
            if message.kind == "snapshot":
                self._snapshots.sent(message.to, self._clock.monotonic_ms())
        self._network.send(messages)

    def _apply(self, committed: Sequence[RaftEntry]) -> None:
        if not committed:
            return
        results = self._machine.apply([self._applied_entry(entry) for entry in committed])
        for entry, result in zip(committed, results, strict=True):
            self._outcomes.extend(self._entries.take(entry.index, entry.term, result))
        self._applied = committed[-1].index
        self._moved = True
        self._core.advance_apply(self._applied)

    def _applied_entry(self, entry: RaftEntry) -> Applied:
        if entry.kind == "configuration":
            configuration = self._core.apply_configuration_change(entry.index)
            return Applied(entry.index, entry.term, b"", configuration.encode())
        return Applied(entry.index, entry.term, entry.data)

    def _publish(self) -> None:
        core = self._core
        self.standing = Standing(
            role="leader" if core.is_leader else "follower",
            leader=core.leader,
            term=core.term,
            commit=self._applied,
            applied=self._applied,
        )
        if self._outcomes or self._moved:
            report = TurnReport(self._outcomes, self._moved)
            self._outcomes, self._moved = [], False
            self._tell(report)
