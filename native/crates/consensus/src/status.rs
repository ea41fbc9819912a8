//! One look at a member.

use crate::{Configuration, Role};

/// How the leader feeds one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// Looks for where the logs agree, one message a heartbeat.
    Probe,
    /// Streams.
    Replicate,
    /// Waits for a snapshot to arrive.
    Snapshot,
}

impl Replication {
    /// Lower-case name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Replicate => "replicate",
            Self::Snapshot => "snapshot",
        }
    }
}

/// How far one member is, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Who.
    pub member_id: u64,
    /// Highest index known to be persisted there.
    pub matched: u64,
    /// Next index to send.
    pub next_index: u64,
    /// How it is fed.
    pub replication: Replication,
    /// Heard of within the last election timeout.
    pub recently_active: bool,
    /// Does not vote.
    pub learner: bool,
}

/// One look at a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Who.
    pub member_id: u64,
    /// The part it plays.
    pub role: Role,
    /// Whom it believes to lead.
    pub leader: Option<u64>,
    /// Its term.
    pub term: u64,
    /// Whom it voted for in that term.
    pub vote: Option<u64>,
    /// Committed index.
    pub commit: u64,
    /// Applied index.
    pub applied: u64,
    /// Lowest index in the in-memory window.
    pub first_index: u64,
    /// Highest index.
    pub last_index: u64,
    /// Bytes of the window, about.
    pub window_bytes: u64,
    /// Ticks without a leader before it starts an election.
    pub election_timeout_ticks: u64,
    /// Who belongs to the group.
    pub configuration: Configuration,
    /// Whom leadership is being handed to.
    pub transferee: Option<u64>,
    /// Of every member, by id; empty unless it leads.
    pub progress: Vec<Progress>,
}
