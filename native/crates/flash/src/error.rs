use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::ConfigError;
use crate::layout::LayoutError;

/// Why a store could not be opened or created.
#[derive(Debug, Error)]
pub enum FlashError {
    /// The configuration breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file or device cannot be used.
    #[error("cannot {step} {path}: {source}; check that it exists and may be written")]
    File {
        /// Its path.
        path: PathBuf,
        /// What failed.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file system has no room for the store's file.
    #[error(
        "no room for the {bytes} bytes of {path}: {source}; free space or configure a smaller store, then reserve the room with `fallocate -l {bytes} {path}`"
    )]
    NoSpace {
        /// Path of the file.
        path: PathBuf,
        /// Size that it was to have.
        bytes: u64,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refuses io_uring.
    #[error("the kernel refuses an io_uring: {source}; use the disk with threads instead")]
    Ring {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refuses a thread.
    #[error("cannot start a thread for the flash store: {source}; raise the limit on threads")]
    Thread {
        /// What the kernel said.
        source: io::Error,
    },
    /// The disk has no room for the least number of segments.
    #[error(
        "the disk has {disk_bytes} bytes, the store needs {needed_bytes}; give it more room or use smaller segments"
    )]
    DiskTooSmall {
        /// What it has, bytes.
        disk_bytes: u64,
        /// What is needed, bytes.
        needed_bytes: u64,
    },
    /// A read or write that opening needs failed.
    #[error("cannot {step} at byte {offset} of the disk: {source}; the device may be failing")]
    Io {
        /// What failed.
        step: &'static str,
        /// Where on the disk, bytes.
        offset: u64,
        /// What the disk said.
        source: io::Error,
    },
    /// The disk holds something that is not a store.
    #[error(
        "the disk holds something else than a flash store ({source}); if it may be overwritten, zero its first two pages"
    )]
    NotAStore {
        /// What is wrong with the superblock.
        source: LayoutError,
    },
    /// The disk holds a store of another version of this program.
    #[error("{source}; use the program that wrote it, or zero the first two pages to start anew")]
    Version {
        /// Both versions.
        source: LayoutError,
    },
    /// The disk holds the store of another cluster or node.
    #[error(
        "this is a store of {what} {found}, and here is {what} {expected}; attach the right disk, or zero the first two pages of this one if its blocks may go"
    )]
    Foreign {
        /// `cluster` or `node`.
        what: &'static str,
        /// Whose store it is.
        found: String,
        /// Who asks.
        expected: String,
    },
    /// The store was created with another segment size.
    #[error("segment_bytes is {configured} and the store has {found}; configure that")]
    SegmentBytes {
        /// As configured, bytes.
        configured: u64,
        /// As created, bytes.
        found: u64,
    },
    /// The index could not be reserved.
    #[error("cannot reserve address space for the index: {source}; lower blocks_max")]
    Index {
        /// What the kernel said.
        source: io::Error,
    },
}
