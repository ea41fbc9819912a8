use std::io;
use std::path::PathBuf;

use holdfast_engine::EngineError;
use thiserror::Error;

/// Why a node could not do what its owner asked.
#[derive(Debug, Error)]
pub enum NodeError {
    /// A setting is out of range.
    #[error("{field} is {value}; it must be from {min} to {max}")]
    Config {
        /// Name of the setting.
        field: &'static str,
        /// Configured value.
        value: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
    /// The chunk engine could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An address is not of the form `host:port`.
    #[error("{address:?} is not an address: give host:port, for example 0.0.0.0:7400")]
    Address {
        /// What was given.
        address: String,
    },
    /// The TCP address could not be listened at.
    #[error("cannot listen at {address}: {source}; choose another address or stop who has it")]
    ListenTcp {
        /// The address.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The Unix socket could not be listened at.
    #[error("cannot listen at {}: {source}; choose another path or stop who has it", path.display())]
    ListenUnix {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A thread or its poller could not be made.
    #[error("cannot start reactor {reactor}: {source}")]
    Reactor {
        /// The reactor's number.
        reactor: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// `start` was called twice.
    #[error("the node has been started already; make a new one")]
    Started,
    /// A bitmap of groups has the wrong length.
    #[error("a bitmap of {group_count} groups has {expected} bytes, this one has {found}")]
    Bitmap {
        /// Number of groups.
        group_count: u32,
        /// Bytes that it should have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// Fault injection was asked of a node that was not built for it.
    #[error("fault injection is off; build the node with fault_injection")]
    FaultInjection,
    /// A peer could not be copied from.
    #[error("cannot pull from node {node} at {address}: {reason}")]
    Pull {
        /// The peer's id.
        node: u64,
        /// The peer's address.
        address: String,
        /// What happened.
        reason: String,
    },
}
