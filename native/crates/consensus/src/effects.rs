//! What the host must do after it gave the core some input.

use crate::{Compaction, EntryRecord, Envelope, HardStateRecord, Position};

/// The part a member plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether an election could succeed.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

impl Role {
    /// Lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Follower => "follower",
            Self::PreCandidate => "pre_candidate",
            Self::Candidate => "candidate",
            Self::Leader => "leader",
        }
    }

    pub(crate) fn from_raft(state: raft::StateRole) -> Self {
        match state {
            raft::StateRole::Follower => Self::Follower,
            raft::StateRole::PreCandidate => Self::PreCandidate,
            raft::StateRole::Candidate => Self::Candidate,
            raft::StateRole::Leader => Self::Leader,
        }
    }
}

/// Who this member is and whom it follows; never persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoftState {
    /// The part it plays.
    pub role: Role,
    /// Whom it believes to lead.
    pub leader: Option<u64>,
}

/// What a committed entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// For the state machine. With neither data nor context it is the one that a new leader
    /// appends, and changes nothing but the applied index.
    Normal,
    /// A membership change: must also be given to [`crate::Core::apply_configuration_change`].
    Configuration,
}

/// One entry to apply.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedEntry {
    /// Index and term; compare both with what `propose` returned.
    pub position: Position,
    /// What it is for.
    pub kind: EntryKind,
    /// As proposed.
    pub context: Vec<u8>,
    /// As proposed.
    pub data: Vec<u8>,
}

/// A snapshot to install.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Index, term and configuration that the state machine has after installing it.
    pub start: Compaction,
    /// The descriptor that the leader's host provided: where to fetch the state machine's copy.
    pub data: Vec<u8>,
}

/// A read that may be served once `index` is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPoint {
    /// As given to `read_index`.
    pub context: Vec<u8>,
    /// Everything committed when the read was asked is at or below this index.
    pub index: u64,
}

/// A member lags behind the compacted log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotWanted {
    /// Who lags.
    pub member_id: u64,
    /// A snapshot must be at this index or later to help.
    pub index: u64,
}

/// Everything the host must do now; then [`crate::Core::advance`].
#[derive(Debug, Clone, PartialEq)]
pub struct Effects {
    /// Goes back to `advance`.
    pub number: u64,
    /// To persist together with `entries`, when it changed.
    pub hard_state: Option<HardStateRecord>,
    /// To append. An index that the log already holds replaces that entry and all after it.
    pub entries: Vec<EntryRecord>,
    /// Whether persisting must reach the disk before `messages_after_persist` and `advance`; false
    /// when only the commit index moved.
    pub must_sync: bool,
    /// To install BEFORE `entries`: state machine durably first, then the log, which it replaces
    /// whole. It supersedes every committed entry handed out earlier and not yet applied.
    ///
    /// The state machine keeps `start` with its content, in one transaction: after a crash between the
    /// two its applied index is `start.index` while the log ends before that, and the host calls
    /// [`crate::DurableLog::install_snapshot`] with it before it starts a core. A state machine that
    /// is ahead of the log at any other index means that the log lost synced entries.
    pub snapshot: Option<Snapshot>,
    /// May be sent at once, before anything is persisted: a leader's appends, so that disks work in
    /// parallel.
    pub messages: Vec<Envelope>,
    /// PERSIST BEFORE YOU SEND. They promise what `hard_state` and `entries` say (a vote, an
    /// acknowledged append): one that is sent and then forgotten in a crash elects two leaders or
    /// loses a committed entry.
    pub messages_after_persist: Vec<Envelope>,
    /// To apply in order, each once; persisted here and on a quorum.
    pub committed: Vec<CommittedEntry>,
    /// Reads that found their index.
    pub read_points: Vec<ReadPoint>,
    /// Role and leader when they changed. After losing leadership, proposals that were not committed
    /// are unknown: they may still commit.
    pub soft_state: Option<SoftState>,
    /// Members that need a snapshot: call `provide_snapshot`. Asked again until then.
    pub snapshots_wanted: Vec<SnapshotWanted>,
}
