//! The seam to the device: operations in, completions out, many at a time.

mod crash;
mod file;
mod threads;
mod uring;

use std::collections::VecDeque;
use std::io;
use std::ptr::NonNull;
use std::task::Waker;
use std::time::Duration;

pub use crash::{CrashDisk, CrashImage, Faults};
pub use file::{DiskFile, open_file};
pub use threads::ThreadDisk;
pub use uring::UringDisk;

/// Where blocks lie: a file, a block device, or memory that loses what was not synced.
///
/// One thread owns a disk. Offsets, addresses and lengths of reads and writes are whole pages.
pub trait Disk: Send {
    /// Size, bytes.
    fn size_bytes(&self) -> u64;

    /// Begins operations from the front, as many as there is room for; the others stay.
    ///
    /// # Errors
    /// The disk as a whole does not work; an operation that fails says so in its completion.
    fn submit(&mut self, operations: &mut VecDeque<Operation>) -> io::Result<()>;

    /// Adds what has ended to `completions`. Waits until there is something, until the disk's
    /// waker was called since the last wait, or until `timeout` has passed.
    ///
    /// # Errors
    /// The disk as a whole does not work.
    fn wait(&mut self, timeout: Duration, completions: &mut Vec<Completion>) -> io::Result<()>;

    /// Ends a wait from another thread.
    fn waker(&self) -> Waker;
}

/// A range of memory that a disk reads into or writes from.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: an address and a length; whoever made the operation answers for the memory behind them.
unsafe impl Send for Span {}

impl Span {
    /// The memory of a slice.
    #[must_use]
    pub fn of(slice: &[u8]) -> Self {
        Self {
            start: NonNull::from(slice).cast(),
            bytes: slice.len(),
        }
    }

    /// The memory of a slice that may be written.
    #[must_use]
    pub fn of_mut(slice: &mut [u8]) -> Self {
        Self {
            start: NonNull::from(&mut *slice).cast(),
            bytes: slice.len(),
        }
    }

    /// Address of the first byte.
    #[must_use]
    pub fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Length, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a disk is asked to do.
#[derive(Debug)]
pub enum Action {
    /// Fill the memory from this offset on.
    Read {
        /// Where on the disk, bytes.
        offset: u64,
        /// The memory.
        into: Span,
    },
    /// Write the pieces one after another from this offset on.
    Write {
        /// Where on the disk, bytes.
        offset: u64,
        /// The memory; at most 1,024 pieces.
        pieces: Vec<Span>,
    },
    /// Put all writes that have completed on stable storage.
    Sync,
}

/// One operation on a disk.
#[derive(Debug)]
pub struct Operation {
    token: u64,
    action: Action,
}

impl Operation {
    /// An operation whose completion carries `token`.
    ///
    /// # Safety
    /// The memory that the action names stays valid until its completion was returned or the disk
    /// was dropped, and until then nobody writes what is written, or touches what is read into.
    #[must_use]
    pub unsafe fn new(token: u64, action: Action) -> Self {
        Self { token, action }
    }

    /// What its completion carries.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// What is to be done.
    #[must_use]
    pub fn action(&self) -> &Action {
        &self.action
    }
}

/// The end of an operation.
#[derive(Debug)]
pub struct Completion {
    /// The operation's token.
    pub token: u64,
    /// Whether all of it was done.
    pub result: io::Result<()>,
}

/// An error when less was moved than asked for.
fn whole(moved: usize, asked: usize) -> io::Result<()> {
    if moved == asked {
        return Ok(());
    }
    let text = format!("{moved} of {asked} bytes were moved");
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
}
