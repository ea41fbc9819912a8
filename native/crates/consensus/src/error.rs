//! What can go wrong, by class of remedy.

use std::path::PathBuf;

/// A call on [`crate::Core`] that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    /// A setting is out of its range.
    #[error("raft setting {setting} = {value} is out of range: {range}")]
    InvalidSetting {
        /// Name of the setting.
        setting: &'static str,
        /// Value given.
        value: u64,
        /// What is allowed.
        range: String,
    },
    /// Only the leader can do this.
    #[error("member {member_id} is not the leader; {}", describe_leader(.leader))]
    NotLeader {
        /// This member.
        member_id: u64,
        /// Who is believed to lead.
        leader: Option<u64>,
    },
    /// A new leader that has committed nothing in its term.
    #[error("leader {member_id} has committed nothing in term {term} yet; retry after a few ticks")]
    LeaderNotReady {
        /// This member.
        member_id: u64,
        /// Its term.
        term: u64,
    },
    /// The proposal was not appended and has no effect.
    #[error("member {member_id} dropped the request without effect: {reason}; it may be retried")]
    ProposalDropped {
        /// This member.
        member_id: u64,
        /// Why.
        reason: String,
    },
    /// One proposal is larger than the configuration allows.
    #[error("entry of {bytes} bytes exceeds the limit of {bytes_max}")]
    EntryTooLarge {
        /// Context and data together.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Another membership change is not finished.
    #[error("another configuration change is pending at index {index}; retry when it is applied")]
    ChangePending {
        /// Index behind which changes are possible again.
        index: u64,
    },
    /// The change would remove or demote the leader itself.
    #[error("the change removes leader {member_id}; transfer leadership first")]
    RemovesLeader {
        /// The leader.
        member_id: u64,
    },
    /// The membership change does not fit the configuration in force.
    #[error("configuration change refused: {reason}")]
    InvalidChange {
        /// Why.
        reason: String,
    },
    /// The bytes are not what they should be.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// Message, entry, hard state or configuration.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A message for somebody else.
    #[error("message for member {to} was given to member {member_id}")]
    WrongRecipient {
        /// This member.
        member_id: u64,
        /// Whom it was for.
        to: u64,
    },
    /// The leader counts entries as stored here that the log does not hold.
    #[error(
        "leader {leader} counts entries up to {acknowledged} as stored by member {member_id}, whose log \
         ends at {last_index}: its disk was wiped or replaced; remove the member and let it join \
         under a new id"
    )]
    MemberOutdated {
        /// This member.
        member_id: u64,
        /// Who said so.
        leader: u64,
        /// What the leader counts on.
        acknowledged: u64,
        /// What is there.
        last_index: u64,
    },
    /// The recovered state contradicts itself or what the host says it applied.
    #[error("recovered state does not fit: {reason}")]
    InconsistentState {
        /// Which parts contradict each other.
        reason: String,
    },
    /// A call at a moment when it makes no sense; a mistake of the host.
    #[error("call out of order: {reason}")]
    OutOfOrder {
        /// What was expected.
        reason: String,
    },
    /// An assertion inside the protocol failed; the member must restart from its log.
    #[error("raft stopped after a failed assertion ({reason}); restart this member from its log")]
    Stopped {
        /// The assertion's message.
        reason: String,
    },
}

fn describe_leader(leader: &Option<u64>) -> String {
    match leader {
        Some(id) => format!("ask member {id}"),
        None => "no leader is known yet, retry later".to_owned(),
    }
}

/// A log that could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Synced records are missing or unreadable.
    #[error("raft log {}: {reason}; do not start from it, let the member join again", .directory.display())]
    Corrupt {
        /// The log's directory.
        directory: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Another process holds the directory.
    #[error("raft log {} is in use by another process", .directory.display())]
    InUse {
        /// The log's directory.
        directory: PathBuf,
    },
    /// The disk refused; nothing of the batch counts and it may be retried.
    #[error("raft log {}: {action} failed: {reason}", .directory.display())]
    Io {
        /// The log's directory.
        directory: PathBuf,
        /// What was being done.
        action: &'static str,
        /// The system's words.
        reason: String,
    },
    /// A sync failed: what is on disk is unknown and nothing more is written.
    #[error("raft log {}: sync failed ({reason}); restart the process and recover", .directory.display())]
    SyncFailed {
        /// The log's directory.
        directory: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The log was closed.
    #[error("raft log {} is closed", .directory.display())]
    Closed {
        /// The log's directory.
        directory: PathBuf,
    },
    /// What was given does not continue what is stored; a mistake of the host.
    #[error("raft log {}: {reason}", .directory.display())]
    Misuse {
        /// The log's directory.
        directory: PathBuf,
        /// What does not fit.
        reason: String,
    },
}
