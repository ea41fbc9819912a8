"""Types of the compiled module. One section per native crate; shared errors first."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Self, TypeAlias, final

from typing_extensions import Buffer

class NativeError(Exception):
    """Root of every error that the native module raises."""

# --------------------------------------------------------------------------- raft
#
# The Raft core is pure: `RaftCore` does no I/O, reads no clock and draws no randomness that the
# host did not seed. `RaftLog` (disk) and `RaftMemoryLog` (its twin, for simulation) persist.
# One turn of the host's loop, on one thread:
#
#     effects = core.ready()
#     while effects is not None:
#         send(effects.messages)                  # may go out before anything is persisted
#         install(effects.snapshot)               # state machine first, if there is one
#         log.persist(effects)                    # one write batch, one sync for all proposals
#         send(effects.messages_after_persist)    # never before the line above returned
#         core.advance(effects.number)
#         apply(effects.committed)                # configuration entries: also
#                                                 # core.apply_configuration_change(entry.index)
#         core.advance_apply(last_applied_index)
#         effects = core.ready()
#
# Between `ready()` returning effects and `advance()` no other input may be given: queue it. That
# queue is the group commit: what gathers during one sync goes into the next batch.

class RaftError(NativeError):
    """A `RaftCore` call was refused; the message says why and what to do."""

class NotLeaderError(RaftError):
    """Only the leader can do this. `leader` is its id, or None while nobody is known to lead."""

    leader: int | None

class LeaderNotReadyError(RaftError):
    """The new leader has committed nothing in its term yet; retry after a few ticks."""

class ProposalDroppedError(RaftError):
    """The proposal was not appended (uncommitted bytes at their limit, or leadership is being
    handed over). It has no effect and may be retried."""

class EntryTooLargeError(RaftError):
    """The entry is larger than the log takes. It has no effect."""

class ConfigurationChangeError(RaftError):
    """The membership change would leave no voter, or names members that do not fit."""

class ConfigurationChangePendingError(ConfigurationChangeError):
    """Another membership change is not applied yet; retry when it is."""

class RemovesLeaderError(ConfigurationChangeError):
    """The change would remove or demote the leader itself: transfer leadership first."""

class RaftMessageError(RaftError):
    """The bytes are no Raft message, or it is meant for another member or of a local kind."""

class MemberOutdatedError(RaftError):
    """This member acknowledged entries that its log no longer holds (a wiped or replaced disk).
    Remove it from the cluster and let it join under a new id."""

class RaftStateError(RaftError):
    """The recovered state contradicts itself, or calls came in an impossible order."""

class RaftStoppedError(RaftError):
    """An assertion of the protocol failed; every further call raises this. Restart the member from
    its log."""

class RaftLogError(NativeError):
    """The log could not do what was asked; the message names the directory and the cause."""

class RaftLogCorruptError(RaftLogError):
    """Synced records are missing or unreadable. Do not start from this directory: remove the
    member and let it join again."""

class RaftLogInUseError(RaftLogError):
    """Another process holds the directory."""

class RaftLogSyncError(RaftLogError):
    """A sync failed, so that what is on disk is unknown; every further call raises this. Restart the
    process and recover."""

class RaftLogClosedError(RaftLogError):
    """The log was closed."""

@final
class RaftConfig:
    """Settings of one member; `election_ticks`, `heartbeat_ticks` must agree between members.

    Raises `ValueError` when a value is out of its range.
    """

    def __new__(
        cls,
        member_id: int,
        *,
        election_ticks: int = 10,
        heartbeat_ticks: int = 1,
        messages_inflight_max: int = 256,
        message_bytes_max: int = 1048576,
        uncommitted_bytes_max: int = 67108864,
        committed_bytes_per_ready_max: int = 16777216,
        entry_bytes_max: int = 8388608,
    ) -> RaftConfig: ...
    @property
    def member_id(self) -> int:
        """Non-zero, unique in the cluster, never reused for a member with another disk."""
    @property
    def election_ticks(self) -> int:
        """Ticks without a leader before an election; each draw is in [this, 2 * this)."""
    @property
    def heartbeat_ticks(self) -> int:
        """Ticks between a leader's heartbeats; less than `election_ticks`."""
    @property
    def messages_inflight_max(self) -> int:
        """Append messages to one follower that may be unanswered."""
    @property
    def message_bytes_max(self) -> int:
        """Entry bytes in one append message (one larger entry still goes alone)."""
    @property
    def uncommitted_bytes_max(self) -> int:
        """Proposed, uncommitted bytes beyond which proposals are dropped."""
    @property
    def committed_bytes_per_ready_max(self) -> int:
        """Bytes of committed entries in one `RaftEffects`."""
    @property
    def entry_bytes_max(self) -> int:
        """Bytes of one proposal, context included."""

@final
class RaftConfiguration:
    """Who votes. Frozen; compares by value."""

    def __new__(
        cls,
        voters: Sequence[int],
        learners: Sequence[int] = ...,
        voters_outgoing: Sequence[int] = ...,
        learners_next: Sequence[int] = ...,
        auto_leave: bool = False,
    ) -> RaftConfiguration: ...
    @staticmethod
    def decode(data: bytes) -> RaftConfiguration:
        """From `encode()`'s bytes (protobuf). Raises `RaftMessageError`."""
    def encode(self) -> bytes:
        """A protobuf ConfState, equal for equal configurations."""
    @property
    def voters(self) -> tuple[int, ...]:
        """Sorted ids."""
    @property
    def learners(self) -> tuple[int, ...]:
        """Sorted ids."""
    @property
    def voters_outgoing(self) -> tuple[int, ...]:
        """Sorted ids of the old half; not empty only in a joint configuration."""
    @property
    def learners_next(self) -> tuple[int, ...]:
        """Sorted ids that become learners when the joint configuration is left."""
    @property
    def auto_leave(self) -> bool:
        """The leader leaves the joint configuration by itself."""
    @property
    def joint(self) -> bool:
        """A change is half done: both halves must agree."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class RaftRecovered:
    """What a log holds after a restart; input of `RaftCore`."""

    def __new__(
        cls,
        hard_state: bytes,
        configuration: RaftConfiguration,
        snapshot_index: int,
        snapshot_term: int,
        entries: Sequence[tuple[int, int, bytes]],
    ) -> RaftRecovered: ...
    @staticmethod
    def bootstrap(voters: Sequence[int]) -> RaftRecovered:
        """A new cluster's first state: index 1, term 1, committed, with these voters and no entry.
        Every founding member starts from the same one; a member that joins later starts from
        `RaftRecovered.empty()` and is sent a snapshot."""
    @staticmethod
    def empty() -> RaftRecovered:
        """A member that knows nothing and waits to be added by a leader."""
    @property
    def hard_state(self) -> bytes:
        """Term, vote, commit (protobuf HardState); empty when never written."""
    @property
    def configuration(self) -> RaftConfiguration:
        """In force at `snapshot_index`."""
    @property
    def snapshot_index(self) -> int:
        """The last index that is compacted away; 0 in an empty log, 1 in a bootstrapped one."""
    @property
    def snapshot_term(self) -> int:
        """Term of the entry at `snapshot_index`."""
    @property
    def entries(self) -> list[tuple[int, int, bytes]]:
        """(index, term, protobuf Entry), contiguous from `snapshot_index + 1`."""
    @property
    def first_index(self) -> int:
        """`snapshot_index + 1`."""
    @property
    def last_index(self) -> int:
        """Index of the last entry, or `snapshot_index` without entries."""
    @property
    def term(self) -> int:
        """Term in the hard state."""
    @property
    def commit(self) -> int:
        """Committed index in the hard state; may lag what was applied."""
    @property
    def is_empty(self) -> bool:
        """Neither bootstrapped nor joined."""

@final
class RaftMessage:
    """One message between members; `data` is what goes over the wire (protobuf)."""

    @staticmethod
    def parse(data: bytes) -> RaftMessage:
        """Reads the envelope of received bytes. Raises `RaftMessageError`.

        A host fetches the state machine's copy that `snapshot_data` describes BEFORE it gives a
        snapshot message to `RaftCore.step`, so that installing it takes no time."""
    @property
    def sender(self) -> int:
        """Who sent it; for kind read_index who asked, though another member passed it on."""
    @property
    def to(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def kind(self) -> str:
        """append, append_response, heartbeat, heartbeat_response, vote, vote_response, pre_vote,
        pre_vote_response, snapshot, read_index, read_index_response, timeout_now, ..."""
    @property
    def snapshot_index(self) -> int | None:
        """Index of the snapshot for kind snapshot. After sending one the host MUST call
        `report_snapshot(to, ok)`: until then nothing else is sent to that member."""
    @property
    def snapshot_data(self) -> bytes | None:
        """The descriptor given to `provide_snapshot`, for kind snapshot."""
    @property
    def data(self) -> bytes: ...

@final
class RaftEntry:
    """One committed entry."""

    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def kind(self) -> Literal["normal", "configuration"]:
        """An entry of kind configuration must be given to `apply_configuration_change`."""
    @property
    def context(self) -> bytes:
        """As proposed; empty on the entry a new leader appends."""
    @property
    def data(self) -> bytes:
        """As proposed. A normal entry with neither data nor context is a new leader's: it changes
        nothing but the applied index."""

@final
class RaftSnapshot:
    """A snapshot to install: the state machine's content is found through `data`."""

    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def configuration(self) -> RaftConfiguration: ...
    @property
    def data(self) -> bytes:
        """Descriptor given to `provide_snapshot` on the leader: small and opaque here."""

@final
class RaftSoftState:
    """Who this member is and whom it follows; never persisted."""

    @property
    def role(self) -> Literal["follower", "pre_candidate", "candidate", "leader"]: ...
    @property
    def leader(self) -> int | None: ...

@final
class RaftEffects:
    """Everything the host must do now; then `RaftCore.advance(number)`."""

    @property
    def number(self) -> int:
        """Give it to `advance`."""
    @property
    def hard_state(self) -> bytes | None:
        """To persist together with `entries`, when it changed."""
    @property
    def entries(self) -> list[tuple[int, int, bytes]]:
        """(index, term, protobuf Entry) to append. An index already in the log replaces that entry
        and everything after it."""
    @property
    def entry_count(self) -> int:
        """len(entries) without building the list."""
    @property
    def must_sync(self) -> bool:
        """Whether persisting must reach the disk before `messages_after_persist` and `advance`.
        False when only the commit index moved."""
    @property
    def snapshot(self) -> RaftSnapshot | None:
        """To install BEFORE `entries`; it replaces the whole log and supersedes every committed entry
        handed out earlier and not yet applied. Order: install the state machine durably, then
        `log.persist`.

        The state machine keeps (index, term, configuration) with its content, in one transaction:
        after a crash between the two, its applied index is that index while `recovered.last_index`
        is lower, and the host calls `log.install_snapshot` with the three, and `recovered()` again,
        before it makes a `RaftCore`. A state machine that is ahead of the log at any other index
        means that the log lost synced entries."""
    @property
    def messages(self) -> list[RaftMessage]:
        """May be sent at once, before anything is persisted (a leader's: disks work in parallel)."""
    @property
    def messages_after_persist(self) -> list[RaftMessage]:
        """PERSIST BEFORE YOU SEND: they promise what `hard_state` and `entries` say. Sending one
        whose state a crash forgets can elect two leaders or lose a committed entry."""
    @property
    def committed(self) -> list[RaftEntry]:
        """To apply in order, each once; already persisted here and on a quorum."""
    @property
    def read_states(self) -> list[tuple[bytes, int]]:
        """(context of `read_index`, index): the read may be served once `index` is applied."""
    @property
    def soft_state(self) -> RaftSoftState | None:
        """Role and leader when they changed. Leadership lost: proposals not yet committed are
        *unknown*, they may still commit."""
    @property
    def snapshot_wanted(self) -> list[tuple[int, int]]:
        """(member id, index): that member lags behind the log. Call `provide_snapshot` with an
        index of at least this one; asked again until then."""

@final
class RaftProgress:
    """How far one member is, as its leader sees it."""

    @property
    def member_id(self) -> int: ...
    @property
    def matched(self) -> int:
        """Highest index known to be persisted there."""
    @property
    def next_index(self) -> int: ...
    @property
    def state(self) -> Literal["probe", "replicate", "snapshot"]: ...
    @property
    def recently_active(self) -> bool:
        """Heard of within the last election timeout."""
    @property
    def learner(self) -> bool: ...

@final
class RaftStatus:
    """One look at a member."""

    @property
    def member_id(self) -> int: ...
    @property
    def role(self) -> Literal["follower", "pre_candidate", "candidate", "leader"]: ...
    @property
    def leader(self) -> int | None: ...
    @property
    def term(self) -> int: ...
    @property
    def vote(self) -> int | None: ...
    @property
    def commit(self) -> int: ...
    @property
    def applied(self) -> int: ...
    @property
    def first_index(self) -> int:
        """Lowest index still in the in-memory window."""
    @property
    def last_index(self) -> int: ...
    @property
    def window_bytes(self) -> int:
        """Entry bytes held in memory since the last compaction."""
    @property
    def election_timeout_ticks(self) -> int: ...
    @property
    def configuration(self) -> RaftConfiguration: ...
    @property
    def transferee(self) -> int | None:
        """Whom leadership is being handed to."""
    @property
    def progress(self) -> list[RaftProgress]:
        """Of every member, by id; empty unless leader."""

@final
class RaftCompaction:
    """Where the log now begins; give it to `RaftLog.compact_to`."""

    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def configuration(self) -> RaftConfiguration: ...

@final
class RaftCore:
    """One member's Raft state machine (tikv raft; pre-vote and check-quorum on). Pure.

    Same construction and same inputs in the same order give the same effects. Every input raises
    `RaftStateError` while effects wait for `advance`, and `RaftStoppedError` after a failed
    assertion; `has_ready`, `configuration`, `status` and the properties always work.
    """

    def __new__(
        cls, config: RaftConfig, recovered: RaftRecovered, *, applied: int, seed: int
    ) -> RaftCore:
        """`applied`: what the state machine durably holds, at least `recovered.snapshot_index`
        (0 for an empty log, 1 right after bootstrap). `seed` (u64): the only source of election
        timeouts; it must differ between members and between two starts of one member (read
        contexts are told apart by it). The configuration at `applied` is computed from the log.

        Raises `RaftStateError` if the parts do not fit, such as entries lost behind `applied`."""
    def tick(self) -> None:
        """One unit of the host's clock."""
    def step(self, message: bytes) -> None:
        """A message from another member. Raises `RaftMessageError`, `MemberOutdatedError`."""
    def propose(self, context: bytes, data: bytes) -> tuple[int, int]:
        """Appends one entry on the leader; returns its (index, term). It is committed when an
        entry of that index AND term is in `committed`; another term at that index means it was
        lost. Raises `NotLeaderError`, `ProposalDroppedError`."""
    def propose_configuration_change(
        self,
        changes: Sequence[tuple[Literal["add_voter", "add_learner", "remove"], int]],
        *,
        context: bytes = ...,
        joint: bool = False,
    ) -> tuple[int, int]:
        """Several changes, or `joint=True`, go through joint consensus, which the leader leaves by
        itself. Adding a learner as voter promotes it. Returns (index, term) like `propose`.
        Raises `NotLeaderError`, `ConfigurationChangeError`, `ProposalDroppedError`."""
    def apply_configuration_change(self, index: int) -> RaftConfiguration:
        """Must be called once for each committed entry of kind configuration, in order, when the
        host applies it. Returns the configuration now in force."""
    def read_index(self, context: bytes) -> None:
        """Asks for a linearizable read point; works on followers too. The answer comes in
        `read_states` with this context, or never (lost message, leader change): the host has a
        deadline and asks again. Raises `NotLeaderError` (no leader known), `LeaderNotReadyError`."""
    def transfer_leader(self, member_id: int) -> None:
        """Starts handing leadership over; given up after one election timeout. Proposals are
        dropped meanwhile. Raises `NotLeaderError`, `ConfigurationChangeError` for a non-voter."""
    def campaign(self) -> None:
        """Starts an election now (with pre-vote)."""
    def set_election_timeout(self, ticks: int) -> None:
        """Overrides the current draw until the next one. Raises `ValueError` outside
        [election_ticks, 2 * election_ticks)."""
    def report_unreachable(self, member_id: int) -> None:
        """A message to that member was not delivered; the leader probes it again."""
    def report_snapshot(self, member_id: int, ok: bool) -> None:
        """What became of a snapshot message that was sent to that member."""
    def provide_snapshot(self, index: int, data: bytes) -> None:
        """Offers a snapshot of the state machine as of `index` (compacted < `index` <= applied is
        the useful range; the compaction point itself is accepted). `data` is a small descriptor:
        where the receiver fetches the real copy. Raises `RaftStateError` outside the range,
        `ValueError` if `data` is longer than 64 KiB."""
    def withdraw_snapshot(self) -> None:
        """Takes the offered snapshot back because its copy is gone; members that lag ask anew."""
    def compact(self, index: int) -> RaftCompaction:
        """Forgets entries up to and including `index` (<= applied). The state machine must be
        synced at `index` or later. Members that need them get a snapshot. An index already
        compacted changes nothing. Raises `RaftStateError` beyond applied."""
    def ready(self) -> RaftEffects | None:
        """What must be done, or None."""
    def advance(self, number: int) -> None:
        """The effects of that number are persisted and their messages sent."""
    def advance_apply(self, index: int) -> None:
        """The state machine holds everything up to `index`. Raises `RaftStateError` if that passes
        over a configuration entry, or beyond what was handed out."""
    def has_ready(self) -> bool:
        """Whether `ready` would return effects."""
    def configuration(self) -> RaftConfiguration:
        """In force at the applied index."""
    def status(self) -> RaftStatus: ...
    @property
    def is_leader(self) -> bool: ...
    @property
    def leader(self) -> int | None: ...
    @property
    def term(self) -> int: ...
    @property
    def applied(self) -> int: ...

@final
class RaftLog:
    """One member's durable log in raft-engine. Calls release the GIL and are serialised.

    A record that was torn by a crash at the end of the log is dropped at open: it was never
    acknowledged. Everything that a synced `persist` or `append` returned from is recovered.
    """

    @staticmethod
    def open(
        directory: str | os.PathLike[str],
        *,
        file_bytes: int = 16777216,
        purge_bytes: int = 134217728,
    ) -> RaftLog:
        """Opens or creates. Log files have `file_bytes` each; beyond `purge_bytes` in all, files
        are reclaimed by `compact_to`. Raises `RaftLogCorruptError`, `RaftLogInUseError`,
        `RaftLogError`."""
    def recovered(self) -> RaftRecovered:
        """What the log holds now (read from disk: call it once, at start)."""
    def bootstrap(self, voters: Sequence[int]) -> None:
        """Writes `RaftRecovered.bootstrap(voters)`, synced. Raises `RaftLogError` unless empty."""
    def persist(self, effects: RaftEffects) -> None:
        """Snapshot, hard state and entries of one `RaftEffects` in one write batch, synced if
        `must_sync`. Raises `RaftLogError` (nothing of the batch counts, it may be retried);
        after `RaftLogSyncError` the process must restart."""
    def append(
        self, hard_state: bytes | None, entries: Sequence[tuple[int, int, bytes]], sync: bool
    ) -> None:
        """The parts of `persist` by hand. Entries must follow the log without a gap."""
    def install_snapshot(self, index: int, term: int, configuration: RaftConfiguration) -> None:
        """Replaces the whole log by a snapshot's position, synced, and lifts the hard state to it.
        For a start after the crash that `RaftEffects.snapshot` describes; `persist` does the same in
        the normal course."""
    def compact_to(self, compaction: RaftCompaction) -> None:
        """Drops entries up to and including its index, synced, and log files nobody needs any
        more. An index already compacted changes nothing."""
    def close(self) -> None:
        """Syncs and closes; further calls raise `RaftLogClosedError`. Closing twice is fine."""
    @property
    def bytes_on_disk(self) -> int: ...
    @property
    def sync_count(self) -> int:
        """Syncs since open."""
    @property
    def last_index(self) -> int: ...

@final
class RaftMemoryLog:
    """`RaftLog`'s in-memory twin, for simulations."""

    def __new__(cls) -> RaftMemoryLog: ...
    def crash(self, unsynced_kept: int = 0) -> None:
        """As if the machine lost power: back to the last synced state, plus the first
        `unsynced_kept` writes after it, which the disk had taken already. An open log stays open, a
        closed one opens again."""
    def recovered(self) -> RaftRecovered: ...
    def bootstrap(self, voters: Sequence[int]) -> None: ...
    def persist(self, effects: RaftEffects) -> None: ...
    def append(
        self, hard_state: bytes | None, entries: Sequence[tuple[int, int, bytes]], sync: bool
    ) -> None: ...
    def install_snapshot(self, index: int, term: int, configuration: RaftConfiguration) -> None: ...
    def compact_to(self, compaction: RaftCompaction) -> None: ...
    def close(self) -> None: ...
    @property
    def bytes_on_disk(self) -> int:
        """Bytes held in memory."""
    @property
    def sync_count(self) -> int: ...
    @property
    def last_index(self) -> int: ...

# --- limits of the machine, for benches ----------------------------------------------------------

@final
class RawPeer:
    """The other process of raw TCP measurements; loopback only."""

    def __new__(cls, set_bytes: int, seed: int) -> Self:
        """Listens on a free port over `set_bytes` of incompressible bytes. Raises OSError."""
    @property
    def address(self) -> str: ...
    def serve(self) -> None:
        """Serves until the process ends."""

@final
class RawProbe:
    """One TCP connection to a `RawPeer`; every call raises OSError when it breaks."""

    def __new__(cls, address: str) -> Self: ...
    def receive(self, destination: Buffer, total: int, read_bytes: int, write_bytes: int) -> float:
        """Seconds to read `total` bytes into `destination`, over and over."""
    def send(self, source: Buffer, total: int, read_bytes: int, write_bytes: int) -> float:
        """Seconds until the peer has read `total` bytes of `source`."""
    def round_trips(self, reply_bytes: int, count: int, spinning: bool) -> list[int]:
        """Nanoseconds of each exchange of a 32-byte request for `reply_bytes`."""

def raw_copy(source: Buffer, destination: Buffer, block_bytes: int, order: list[int]) -> float:
    """Seconds to copy blocks `order` of `source` into `destination`, over and over."""

def raw_fill(destination: Buffer, seed: int) -> None:
    """Fills memory with incompressible bytes, the same for the same seed."""

# --- the chunk engine alone, for benches ----------------------------------------------------------

@final
class Engine:
    """The engine that data nodes run, with one space and without sockets."""

    def __new__(
        cls,
        *,
        arena_bytes: int,
        block_bytes: int,
        extent_bytes: int = 16 << 20,
        prefault: bool = True,
    ) -> Engine:
        """Raises ValueError for settings out of range, OSError when memory is refused."""
    def fill(self, first: int, count: int) -> tuple[float, int]:
        """Puts blocks `first` to `first + count - 1` without touching their payload.

        Returns the seconds it took and the largest `index_bytes` seen meanwhile. Raises
        MemoryError when not all were stored.
        """
    def lookup_rate(self, stored: int, batches: int) -> float:
        """Keys per second of exists, in batches of 256 random ids, half of them absent.

        `stored` is how many blocks, counted from 0, the present ones are drawn from.
        """
    def index_bytes(self) -> int:
        """Everything resident that is not payload, bytes."""
    @property
    def blocks(self) -> int:
        """Blocks stored now."""

@final
class Trace:
    """Requests, each a list of block numbers in prefix order.

    A block is a hit when it and all before it in its request are stored; the missing ones are put
    then. Capacities are in blocks, results are hits over the whole trace.
    """

    def __new__(cls, blocks: Buffer, lengths: Buffer) -> Trace:
        """`uint64[references]`, all requests in a row, and `uint64[requests]`, their lengths.

        Raises ValueError when the two do not fit, BufferError for another item type.
        """
    @property
    def references(self) -> int:
        """Blocks asked for, over all requests."""
    def engine_hits(self, capacity_blocks: int) -> int:
        """Hits of the engine with the eviction that data nodes run. Raises OSError."""
    def lru_hits(self, capacity_blocks: int) -> int:
        """Hits of the least-recently-used policy."""
    def s3fifo_hits(self, capacity_blocks: int) -> int:
        """Hits of S3-FIFO as published."""
    def belady_hits(self, capacity_blocks: int) -> int:
        """Hits of the policy that knows the future."""

# --- client ------------------------------------------------------------------------------------

class ClientError(NativeError):
    """A call of the client was refused. What becomes of single keys is a status, no error."""

class ClosedError(ClientError):
    """The client or the region is closed."""

class SegmentsError(ClientError):
    """Segments do not fit their regions, or the call."""

class InFlightError(ClientError):
    """Too much is under way already; wait for some of it."""

class ForkedError(ClientError):
    """The client belongs to the process that this one was forked from."""

@final
class KeyStatus:
    """Per-key results, as small integers (crate `wire`, `KeyStatus`)."""

    MISS: Final[int]
    HIT: Final[int]
    STORED: Final[int]
    PRESENT: Final[int]
    BUSY: Final[int]
    REFUSED: Final[int]
    UNKNOWN: Final[int]
    CORRUPT: Final[int]
    NOT_OWNER: Final[int]
    TIMED_OUT: Final[int]
    UNREACHABLE: Final[int]
    CANCELLED: Final[int]

@final
class Region:
    """Memory of this process that blocks are read from and written to; holds its buffer."""

    def __new__(cls, buffer: Buffer, *, descriptor: int = -1, descriptor_offset: int = 0) -> Region:
        """Any C-contiguous buffer. `descriptor`: the memfd or file behind it, for shared memory."""
    @staticmethod
    def from_address(address: int, nbytes: int, owner: object, readonly: bool) -> Region:
        """Memory that `owner` keeps alive (DLPack, `__array_interface__`)."""
    @property
    def address(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def readonly(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def close(self, deadline_ms: int) -> bool:
        """Waits until no operation uses it, then lets the buffer go; False at the deadline."""

@final
class Segments:
    """Where the bytes of each block of a batch lie.

    Block i is the concatenation, over the planes in order and r in range(runs), of the bytes
    [base + indices[i] * block_stride + r * run_stride, + run_bytes) of the plane's region.
    """

    def __new__(
        cls,
        planes: Sequence[tuple[Region, int, int, int, int, int]],
        indices: Buffer,
    ) -> Segments:
        """`planes`: (region, base, block_stride, runs, run_stride, run_bytes), bytes all but runs.

        `indices`: int64[blocks], C-contiguous. Raises SegmentsError for anything out of bounds.
        """
    @property
    def blocks(self) -> int: ...
    @property
    def block_bytes(self) -> int: ...

_Keys: TypeAlias = Buffer | Sequence[bytes]
"""Opaque keys: a C-contiguous uint8[n, key_bytes] array (fast), or a sequence of bytes."""

@final
class Operation:
    """One batched call under way or done."""

    @property
    def token(self) -> int: ...
    @property
    def done(self) -> bool: ...
    def wait(self, timeout_ms: int) -> bool:
        """Drives the I/O until it is done or the time is over. Answers signals (SIGINT raises)."""
    def cancel(self) -> None:
        """Ends it now; once this returns nothing touches its segments."""
    def notify(self) -> bool:
        """Has its end told through the event descriptor from now on; False when it has ended."""
    def finish(self, deadline_ms: int) -> _Outcome:
        """Waits for its end, a moment longer than its deadline, and answers what became of it. One
        that is not done then, or when a signal raises, is cancelled."""
    def outcome(self) -> _Outcome:
        """What became of it. Raises ClientError before it is done."""

_Outcome: TypeAlias = (
    tuple[bytes, dict[str, int]]
    | tuple[bytes, dict[str, int], list[tuple[int, int, int, int, int, bool, int]]]
)
"""One `KeyStatus` a key; why keys were not served, counted: 'absent', 'busy', 'refused', 'unknown',
'corrupt', 'not_owner', 'timed_out', 'node_down', 'cancelled', and 'copy_lost' for keys of a put that
were stored on fewer nodes than the space asks for; of a stat besides (node, crc, write_id,
position_class, touches, pinned, age_ms) a key, node 0: absent."""

@final
class OperationKind:
    """What a call does with its keys, as small integers."""

    EXISTS: Final[int]
    GET: Final[int]
    PUT: Final[int]
    DELETE: Final[int]
    PIN: Final[int]
    STAT: Final[int]

@final
class Client:
    """Lanes to data nodes, routing by the cluster map, batches and deadlines.

    Threads: whoever waits drives the I/O; one background thread drives it for operations that
    nobody waits for. Safe to share between threads. After a fork every call raises ForkedError.
    """

    def __new__(
        cls,
        *,
        cluster: bytes,
        client: bytes,
        lanes: int = 2,
        spin_us: int = 0,
        operations_max: int = 4096,
        bytes_in_flight_max: int = 4 << 30,
        connect_timeout_ms: int = 1000,
        retry_backoff_ms_min: int = 50,
        retry_backoff_ms_max: int = 2000,
        boot_id: str = "",
        transport: str = "auto",
    ) -> Client:
        """`transport`: 'auto' (shared memory where a node's boot id equals `boot_id`), 'tcp', 'shm'.

        `cluster`, `client`: 16 bytes. Raises ValueError for a setting out of its range."""
    def set_tenant_ticket(self, ticket: bytes) -> None: ...
    def bind_space(
        self,
        *,
        tenant: int,
        space: int,
        block_bytes: int,
        copies: int,
        ticket: bytes,
        data: int = 1,
        parity: int = 0,
    ) -> None:
        """Makes a space usable, or renews its ticket, on all present and later lanes.

        Blocks lie whole on `copies` nodes; with `parity` they are cut into `data` shards, with as
        many parity shards as it says, each on a node of its own. Raises ValueError for a scheme
        that is not possible.
        """
    def set_map(
        self,
        *,
        epoch: int,
        group_count: int,
        width: int,
        owners: Buffer,
        previous: Buffer,
        nodes: Sequence[tuple[int, int, str, str, str, bool]],
    ) -> None:
        """Installs a map; an older epoch than the present one is ignored.

        `owners`, `previous`: int32[group_count, width], indices into `nodes`, -1 for none.
        `nodes`: (id, incarnation, tcp address, unix path or '', boot id, is up).
        """
    @property
    def epoch(self) -> int: ...
    @property
    def stale(self) -> bool:
        """True once a node has answered with a newer epoch than the map's, or refused an owner."""
    def start(
        self,
        kind: int,
        space: int,
        keys: _Keys,
        segments: Segments | None,
        argument: int,
        deadline_ms: int,
        notify: bool,
    ) -> Operation:
        """Starts a call. `kind`: an `OperationKind`; `segments`: of a get and a put; `argument`:
        first position of a put (block i has position argument + i in its prefix), milliseconds of
        a pin (0: unpin). Raises ValueError for segments or kinds that do not fit."""
    def run(
        self,
        kind: int,
        space: int,
        keys: _Keys,
        segments: Segments | None,
        argument: int,
        deadline_ms: int,
    ) -> _Outcome:
        """Starts a call, waits for its end and answers what became of it."""
    def event_fd(self) -> int:
        """Readable when an operation started with `notify` has ended."""
    def completed(self) -> list[int]:
        """Tokens of `notify` operations that ended since the last call; empties the descriptor."""
    def stats(self) -> dict[str, int]:
        """Counters since it was made (operations, keys, keys_served, bytes_read, bytes_written,
        corrupt, timed_out, cancelled, lanes_opened, lanes_failed, lanes_cut, hedges, reroutes,
        keys_asked_again, copies_mismatched) and gauges (operations_in_flight, bytes_in_flight, lanes)."""
    def node_stats(self) -> list[dict[str, Any]]:
        """Each node of the map by id: transport ('tcp', 'shm'), state ('good', 'failed', 'trying',
        'down'), counters, gauges, and last_error in words."""
    def close(self, deadline_ms: int) -> None:
        """Cancels what is under way and closes every lane; later calls raise ClosedError."""

def block_ids(cluster: bytes, tenant: int, space: int, keys: _Keys) -> bytes:
    """16 bytes of id a key, concatenated."""

def crc32c(data: Buffer) -> int: ...

# --------------------------------------------------------------------------- data node

class NodeError(NativeError):
    """A data node could not do what was asked; the message says why and what to do."""

@final
class Node:
    """A data node's native half: chunk engine and block-protocol server in threads of its own.

    Nothing is served before `start`. Every call returns at once unless it says otherwise; none
    holds the interpreter lock while it works.
    """

    def __new__(
        cls,
        *,
        cluster: bytes,
        node: int,
        incarnation: int,
        arena_bytes: int,
        extent_bytes: int = 16 << 20,
        prefault: bool = True,
        huge_pages: bool = True,
        reactors: int = 1,
        spin_us: int = 0,
        connections_max: int = 1024,
        grant_bytes_max: int = 256 << 20,
        tenant_bytes_in_flight_max: int = 1 << 30,
        pin_bytes_max: int = 1 << 30,
        idle_deadline_ms: int = 300_000,
        fault_injection: bool = False,
    ) -> Self: ...
    def start(self, tcp_address: str, unix_path: str | None) -> None:
        """Binds `host:port` (port 0: any) and the Unix socket, then serves."""
    @property
    def tcp_address(self) -> str:
        """`host:port` that is listened at. Raises NodeError before `start`."""
    @property
    def unix_path(self) -> str | None: ...
    def set_ticket_keys(self, keys: Sequence[tuple[int, bytes]]) -> None:
        """Replaces the (key id, 32-byte Ed25519 public key) pairs that tickets are checked with."""
    def set_route(self, epoch: int, group_count: int, owned: bytes) -> None:
        """Installs what this node owns: `owned` holds a bitmap of groups for each place, the first
        place first, bit g of byte g // 8. A space of n copies is owned in the first n places."""
    def retain_groups(self, group_count: int, keep: bytes) -> bool:
        """Drops some blocks whose group's bit is not set; True when none is left. Bounded work."""
    def drop_space(self, space: int) -> None: ...
    def set_tenant_limit(self, tenant: int, limit_bytes: int | None) -> None: ...
    def scrub(self, cursor: int, bytes_max: int) -> tuple[int, int, int, int]:
        """Reads about `bytes_max` bytes of blocks from `cursor` (0 to begin) and drops those that do
        not match their checksum: (next cursor, 0 at the end; blocks; bytes; dropped)."""
    def sweep(self) -> int:
        """Drops some expired blocks; returns how many. Bounded work."""
    def pull(
        self,
        peer_address: str,
        peer_node: int,
        ticket: bytes,
        group_count: int,
        groups: bytes,
        cursor: int,
        bytes_max: int,
        deadline_ms: int,
        spaces: Mapping[int, tuple[int, int, int, int, int]],
    ) -> tuple[int, int, int]:
        """Copies blocks of `groups` that this node lacks from a peer into its own engine.

        `spaces` maps a space's number to (tenant, block_bytes, ttl_s, priority, copies); blocks of
        other spaces are left out. `ticket` is a node ticket. Stops after `bytes_max` payload
        bytes or at the deadline. Returns (next cursor, 0 at the end; blocks; bytes copied).
        """
    def stats(self) -> dict[str, Any]:
        """Counters since start and gauges now, by name.

        All are integers but `tenants` (number to bytes used) and `latency_us_log2` (request's
        name to 28 counts; count i is of answers after 2**i to 2**(i + 1) microseconds).
        """
    def flip_bit(self, space: int, block_id: bytes, bit: int) -> bool:
        """Fault injection for tests: flips one bit of a stored block; False when absent.

        Raises NodeError unless the node was built with `fault_injection=True`.
        """
    def stop(self, deadline_ms: int) -> None:
        """Refuses new requests, lets those in flight end until the deadline, closes everything."""
