//! PyO3 face of the native crates: converts, releases the GIL, calls one crate.
use pyo3::prelude::*;

mod errors;
mod limits;
mod raft;

/// The compiled half of `holdfast_native`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::limits::{RawPeer, RawProbe, raw_copy, raw_fill};
    #[pymodule_export]
    use crate::errors::NativeError;
    #[pymodule_export]
    use crate::raft::RaftCore;
    #[pymodule_export]
    use crate::raft::errors::{
        ConfigurationChangeError, ConfigurationChangePendingError, LeaderNotReadyError,
        MemberOutdatedError, NotLeaderError, ProposalDroppedError, RaftError, RaftLogClosedError,
        RaftLogCorruptError, RaftLogError, RaftLogInUseError, RaftLogSyncError, RaftMessageError,
        RaftStateError, RaftStoppedError, RemovesLeaderError,
    };
    #[pymodule_export]
    use crate::raft::log::{RaftLog, RaftMemoryLog};
    #[pymodule_export]
    use crate::raft::status::{RaftCompaction, RaftProgress, RaftStatus};
    #[pymodule_export]
    use crate::raft::values::{
        RaftConfig, RaftConfiguration, RaftEffects, RaftEntry, RaftMessage, RaftRecovered,
        RaftSnapshot, RaftSoftState,
    };
}
