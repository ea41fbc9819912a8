//! PyO3 face of the native crates: converts, releases the GIL, calls one crate.
use pyo3::prelude::*;

mod client;
mod client_errors;
mod engine;
mod errors;
mod keys;
mod limits;
mod node;
mod operation;
mod owners;
mod raft;
mod region;
mod segments;

/// The compiled half of `holdfast_native`.
#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::client::Client;
    #[pymodule_export]
    use crate::client_errors::{
        ClientError, ClosedError, ForkedError, InFlightError, SegmentsError,
    };
    #[pymodule_export]
    use crate::engine::{Engine, Trace};
    #[pymodule_export]
    use crate::errors::NativeError;
    #[pymodule_export]
    use crate::keys::{block_ids, crc32c};
    #[pymodule_export]
    use crate::limits::{RawPeer, RawProbe, raw_copy, raw_fill};
    #[pymodule_export]
    use crate::node::{Node, NodeError};
    #[pymodule_export]
    use crate::operation::{KeyStatus, Operation, OperationKind};
    #[pymodule_export]
    use crate::raft::RaftCore;
    #[pymodule_export]
    use crate::raft::effects::{RaftEffects, RaftEntry, RaftMessage, RaftSnapshot, RaftSoftState};
    #[pymodule_export]
    use crate::raft::errors::{
        ConfigurationChangeError, ConfigurationChangePendingError, EntryTooLargeError,
        LeaderNotReadyError, MemberOutdatedError, NotLeaderError, ProposalDroppedError, RaftError,
        RaftLogClosedError, RaftLogCorruptError, RaftLogError, RaftLogInUseError, RaftLogSyncError,
        RaftMessageError, RaftStateError, RaftStoppedError, RemovesLeaderError,
    };
    #[pymodule_export]
    use crate::raft::log::{RaftLog, RaftMemoryLog};
    #[pymodule_export]
    use crate::raft::status::{RaftCompaction, RaftProgress, RaftStatus};
    #[pymodule_export]
    use crate::raft::values::{RaftConfig, RaftConfiguration, RaftRecovered};
    #[pymodule_export]
    use crate::region::Region;
    #[pymodule_export]
    use crate::segments::Segments;

    /// The package says what is public; the stub of this module has no such list.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.delattr("__all__")
    }
}
