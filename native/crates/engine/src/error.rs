use std::io;

use thiserror::Error;

use crate::ConfigError;

/// Why an engine could not be made.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The configuration breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address range for the arena could not be reserved.
    #[error(
        "cannot reserve {bytes} bytes of address space for the arena: {source}; lower arena_bytes or raise the limit on address space"
    )]
    Reserve {
        /// Range asked for, bytes.
        bytes: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// An extent's memory file could not be made, sized, mapped, sealed or filled.
    #[error(
        "cannot {step} extent {extent} of {bytes} bytes: {source}; lower arena_bytes, or raise the limit on open files (one for each extent) or use larger extents"
    )]
    Extent {
        /// The extent's number.
        extent: u32,
        /// Its size, bytes.
        bytes: u64,
        /// What failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The index could not be reserved.
    #[error(
        "cannot reserve address space for the index: {source}; raise the limit on address space"
    )]
    Index {
        /// What the kernel said.
        source: io::Error,
    },
}
