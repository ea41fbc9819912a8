//! Errors of the consensus crate as Python exceptions.

use holdfast_consensus::{CoreError, LogError};
use pyo3::create_exception;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::NativeError;

create_exception!(
    holdfast_native,
    RaftError,
    NativeError,
    "A RaftCore call was refused."
);
create_exception!(
    holdfast_native,
    NotLeaderError,
    RaftError,
    "Only the leader can do this."
);
create_exception!(
    holdfast_native,
    LeaderNotReadyError,
    RaftError,
    "The new leader has committed nothing in its term yet."
);
create_exception!(
    holdfast_native,
    ProposalDroppedError,
    RaftError,
    "The proposal was not appended and has no effect."
);
create_exception!(
    holdfast_native,
    ConfigurationChangeError,
    RaftError,
    "The membership change is impossible."
);
create_exception!(
    holdfast_native,
    EntryTooLargeError,
    RaftError,
    "The entry is larger than the log takes."
);
create_exception!(
    holdfast_native,
    ConfigurationChangePendingError,
    ConfigurationChangeError,
    "Another membership change is not finished."
);
create_exception!(
    holdfast_native,
    RemovesLeaderError,
    ConfigurationChangeError,
    "The membership change would remove or demote the leader itself."
);
create_exception!(
    holdfast_native,
    RaftMessageError,
    RaftError,
    "The bytes are no Raft message for this member."
);
create_exception!(
    holdfast_native,
    MemberOutdatedError,
    RaftError,
    "This member acknowledged entries that its log no longer holds."
);
create_exception!(
    holdfast_native,
    RaftStateError,
    RaftError,
    "The state contradicts itself, or calls came in an impossible order."
);
create_exception!(
    holdfast_native,
    RaftStoppedError,
    RaftError,
    "An assertion of the protocol failed."
);
create_exception!(
    holdfast_native,
    RaftLogError,
    NativeError,
    "The log could not do what was asked."
);
create_exception!(
    holdfast_native,
    RaftLogCorruptError,
    RaftLogError,
    "Synced records are missing or unreadable."
);
create_exception!(
    holdfast_native,
    RaftLogInUseError,
    RaftLogError,
    "Another process holds the directory."
);
create_exception!(
    holdfast_native,
    RaftLogSyncError,
    RaftLogError,
    "A sync failed; what is on disk is unknown."
);
create_exception!(
    holdfast_native,
    RaftLogClosedError,
    RaftLogError,
    "The log was closed."
);

/// The exception for an error of the core.
pub(super) fn core_error(error: CoreError) -> PyErr {
    let text = error.to_string();
    match error {
        CoreError::NotLeader { leader, .. } => not_leader(text, leader),
        CoreError::InvalidSetting { .. } => PyValueError::new_err(text),
        CoreError::EntryTooLarge { .. } => EntryTooLargeError::new_err(text),
        CoreError::LeaderNotReady { .. } => LeaderNotReadyError::new_err(text),
        CoreError::ProposalDropped { .. } => ProposalDroppedError::new_err(text),
        CoreError::ChangePending { .. } => ConfigurationChangePendingError::new_err(text),
        CoreError::RemovesLeader { .. } => RemovesLeaderError::new_err(text),
        CoreError::InvalidChange { .. } => ConfigurationChangeError::new_err(text),
        CoreError::Malformed { .. } | CoreError::WrongRecipient { .. } => {
            RaftMessageError::new_err(text)
        }
        CoreError::MemberOutdated { .. } => MemberOutdatedError::new_err(text),
        CoreError::InconsistentState { .. } | CoreError::OutOfOrder { .. } => {
            RaftStateError::new_err(text)
        }
        CoreError::Stopped { .. } => RaftStoppedError::new_err(text),
    }
}

/// The exception for an error of the log.
pub(super) fn log_error(error: LogError) -> PyErr {
    let text = error.to_string();
    match error {
        LogError::Corrupt { .. } => RaftLogCorruptError::new_err(text),
        LogError::InUse { .. } => RaftLogInUseError::new_err(text),
        LogError::SyncFailed { .. } => RaftLogSyncError::new_err(text),
        LogError::Closed { .. } => RaftLogClosedError::new_err(text),
        LogError::Io { .. } | LogError::Misuse { .. } => RaftLogError::new_err(text),
    }
}

fn not_leader(text: String, leader: Option<u64>) -> PyErr {
    Python::attach(|py| {
        let raised = NotLeaderError::new_err(text);
        match raised.value(py).setattr("leader", leader) {
            Ok(()) => raised,
            Err(other) => other,
        }
    })
}
