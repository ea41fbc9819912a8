"""Checkpoints as the log sees them: when to take one, what to compact, what to offer and fetch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from holdfast_kvstore.errors import HoldfastError
from holdfast_metanode.raft.requests import CheckpointTaken, Item, SnapshotStaged
from holdfast_metanode.raft.seams import Jobs, Log, Network
from holdfast_metanode.store.seam import Checkpoint, Store
from holdfast_native import RaftCore, RaftMessage
from holdfast_proto import command_pb2 as records

_LOG = structlog.get_logger("raft")


@dataclass(frozen=True, slots=True)
class SnapshotLimits:
    """When the log is shortened, and how long a snapshot may take."""

    compact_entries: int
    """Entries after which the state is checkpointed and the log behind it dropped."""
    compact_bytes: int
    """Bytes of entries held in memory after which that happens as well."""
    keep_entries: int
    """Entries left in the log for members that lag a little."""
    transfer_ms: int
    """Time for another member to fetch and install; then it is tried again."""


class Snapshots:
    """The host's duty around checkpoints. Runs on the host's thread, its jobs beside it."""

    def __init__(
        self,
        member_id: int,
        limits: SnapshotLimits,
        core: RaftCore,
        log: Log,
        store: Store,
        network: Network,
        jobs: Jobs,
        report: Callable[[Item], None],
    ) -> None:
        self._member_id = member_id
        self._limits = limits
        self._core = core
        self._log = log
        self._store = store
        self._network = network
        self._jobs = jobs
        self._report = report
        newest = store.newest_checkpoint()
        self._newest_index = newest.index if newest else 0
        self._offered = 0
        self._taking = False
        self._fetching = False
        self._sent: dict[int, int] = {}

    # ------------------------------------------------------------------------ the own state

    def consider(self, applied: int, window_bytes: int) -> None:
        """Takes a checkpoint when the log has grown enough behind it."""
        behind = applied - max(self._newest_index, 1)
        due = behind >= self._limits.compact_entries or (
            window_bytes >= self._limits.compact_bytes and behind > self._limits.keep_entries
        )
        # While a member fetches one, it stays: a newer one would replace it.
        if due and not self._sent:
            self._take()

    def _take(self) -> None:
        if self._taking:
            return
        self._taking = True

        def work() -> None:
            try:
                self._report(CheckpointTaken(self._store.take_checkpoint()))
            except Exception as error:  # the next turn tries again; the log is still whole
                _LOG.error("checkpoint failed", error=str(error))
                self._report(CheckpointTaken(None))

        self._jobs.run(work)

    def taken(self, checkpoint: Checkpoint | None) -> None:
        """A checkpoint is durable: only now may the log behind it go."""
        self._taking = False
        if checkpoint is None:
            return
        self._newest_index = checkpoint.index
        behind = checkpoint.index - self._limits.keep_entries
        if behind > 1:
            self._log.compact_to(self._core.compact(behind))
        if self._offered:
            self._offer(checkpoint)

    # ------------------------------------------------------------------------ to others

    def wanted(self, index: int) -> None:
        """A member needs entries that the log no longer holds: it gets a snapshot >= `index`."""
        newest = self._store.newest_checkpoint()
        if newest is not None and newest.index >= index:
            if self._offered != newest.index:
                self._offer(newest)
        else:
            self._take()

    def _offer(self, checkpoint: Checkpoint) -> None:
        descriptor = records.CheckpointDescriptor(
            index=checkpoint.index,
            term=checkpoint.term,
            bytes=checkpoint.length_bytes,
            sha256=checkpoint.sha256,
            member=self._member_id,
        )
        self._core.provide_snapshot(checkpoint.index, descriptor.SerializeToString())
        self._offered = checkpoint.index

    def sent(self, member_id: int, now_ms: int) -> None:
        """A snapshot message goes out; the member answers when it has installed."""
        self._sent[member_id] = now_ms + self._limits.transfer_ms

    def unreachable(self, member_id: int) -> None:
        """A message to a member was lost; it may have been the snapshot."""
        if self._sent.pop(member_id, None) is not None:
            self._core.report_snapshot(member_id, False)

    def tick(self, now_ms: int) -> None:
        """Ends transfers that are over: installed, or out of time."""
        if not self._sent:
            return
        progress = {found.member_id: found.state for found in self._core.status().progress}
        for member_id, deadline_ms in list(self._sent.items()):
            if progress.get(member_id) != "snapshot":
                del self._sent[member_id]
            elif now_ms >= deadline_ms:
                del self._sent[member_id]
                self._core.report_snapshot(member_id, False)

    # ------------------------------------------------------------------------ from others

    def fetch(self, message: RaftMessage) -> None:
        """Fetches what a snapshot message describes, before the core sees the message."""
        if self._fetching or message.snapshot_data is None:
            return
        descriptor = records.CheckpointDescriptor.FromString(message.snapshot_data)
        self._fetching = True
        data = message.data

        def work() -> None:
            staged = False
            try:
                self._store.stage(_checkpoint(descriptor), self._network.fetch(descriptor))
                staged = True
            except HoldfastError as error:  # the leader sends it again
                _LOG.warning("snapshot not fetched", index=descriptor.index, error=str(error))
            finally:
                self._report(SnapshotStaged(data, staged))

        self._jobs.run(work)

    def staged(self) -> None:
        """The job of `fetch` has ended."""
        self._fetching = False

    def installed(self, checkpoint: Checkpoint) -> None:
        """The state machine is at a fetched checkpoint."""
        self._newest_index = checkpoint.index
        self._offered = 0


def _checkpoint(descriptor: records.CheckpointDescriptor) -> Checkpoint:
    return Checkpoint(descriptor.index, descriptor.term, descriptor.bytes, descriptor.sha256)


def checkpoint_of(snapshot_data: bytes) -> Checkpoint:
    """The checkpoint that a Raft snapshot's data describes."""
    return _checkpoint(records.CheckpointDescriptor.FromString(snapshot_data))
