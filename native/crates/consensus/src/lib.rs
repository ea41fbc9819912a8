//! Raft for one group of metadata nodes: a pure core and a durable log, kept apart.
//!
//! [`Core`] wraps tikv's `raft`: ticks, messages and proposals in, one [`Effects`] value out. It
//! does no I/O, reads no clock and draws no randomness that the host did not seed, so that the
//! same inputs give the same outputs in production and in a simulation.
//!
//! [`EngineLog`] keeps one group's log in TiKV's `raft-engine`; [`MemoryLog`] is its in-memory
//! twin that can forget what was not synced. Both pass one conformance suite.
//!
//! A turn of the host's loop:
//!
//! ```text
//! while let Some(effects) = core.ready()? {
//!     send(effects.messages)                 // may go before anything is persisted
//!     install(effects.snapshot)              // state machine first
//!     log.persist(&effects)?                 // one batch, one sync for many proposals
//!     send(effects.messages_after_persist)   // never before the line above returned
//!     core.advance(effects.number)?
//!     apply(effects.committed)               // + core.apply_configuration_change
//!     core.advance_apply(last_applied)?
//! }
//! ```
//!
//! Between `ready` and `advance` the core takes no other input; what queues up at the host
//! meanwhile is the next group commit.

mod config;
mod configuration;
mod core;
mod effects;
mod election;
mod envelope;
mod error;
mod log;
mod read_points;
mod records;
mod recovered;
mod status;
mod window;

pub use config::CoreConfig;
pub use configuration::{Change, ChangeKind, Configuration};
pub use core::{Core, SNAPSHOT_DESCRIPTOR_BYTES_MAX};
pub use effects::{
    CommittedEntry, Effects, EntryKind, ReadPoint, Role, Snapshot, SnapshotWanted, SoftState,
};
pub use envelope::{Envelope, MessageKind};
pub use error::{CoreError, LogError};
pub use log::{DurableLog, EngineLog, EngineLogConfig, MemoryLog};
pub use records::{EntryRecord, HardStateRecord, Position};
pub use recovered::{BOOTSTRAP_INDEX, BOOTSTRAP_TERM, Compaction, Recovered};
pub use status::{Progress, Replication, Status};
