use std::ptr::{self, NonNull};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::{ClientError, Plane, Region};

/// Idle memory that a client keeps for its next calls, bytes.
const IDLE_BYTES_MAX: usize = 128 << 20;
/// Buffers have at least this size and a power of two of bytes, so that they fit again.
const BUFFER_BYTES_MIN: usize = 64 << 10;

/// Memory of the client's own for parity shards and tails. Pages that were touched once are kept
/// for the next call: the kernel clears each new one, which costs as much as the code itself.
#[derive(Default)]
pub(crate) struct Buffers {
    idle: Mutex<Vec<Pages>>,
}

/// An anonymous mapping.
struct Pages {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: plain memory; who may touch which bytes is decided by the operation that holds it.
unsafe impl Send for Pages {}

/// A buffer on loan: it goes back when its region goes.
struct Loan {
    pages: Option<Pages>,
    lender: Weak<Buffers>,
}

impl Buffers {
    /// A region of at least `bytes` bytes. What lies in it is unspecified.
    pub(crate) fn lend(self: &Arc<Self>, bytes: usize) -> Result<Arc<Region>, ClientError> {
        let bytes = bytes.max(BUFFER_BYTES_MIN).next_power_of_two();
        let pages = match self.take(bytes) {
            Some(pages) => pages,
            None => Pages::map(bytes)?,
        };
        let address = pages.start.as_ptr() as usize;
        let loan = Loan {
            pages: Some(pages),
            lender: Arc::downgrade(self),
        };
        // SAFETY: the loan keeps the pages mapped and writable until it is dropped.
        let region = unsafe { Region::new(address, bytes, false, Box::new(loan), None) };
        Ok(Arc::new(region))
    }

    fn take(&self, bytes: usize) -> Option<Pages> {
        let mut idle = self.idle.lock();
        let at = idle.iter().position(|pages| pages.bytes == bytes)?;
        Some(idle.swap_remove(at))
    }

    fn give_back(&self, pages: Pages) {
        let mut idle = self.idle.lock();
        let kept: usize = idle.iter().map(|pages| pages.bytes).sum();
        if kept + pages.bytes <= IDLE_BYTES_MAX {
            idle.push(pages);
        }
    }
}

impl Pages {
    fn map(bytes: usize) -> Result<Self, ClientError> {
        // SAFETY: a fresh anonymous mapping, at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        NonNull::new(start.cast::<u8>())
            .filter(|_| start != libc::MAP_FAILED)
            .map(|start| Self { start, bytes })
            .ok_or_else(|| ClientError::System {
                call: "mmap",
                source: std::io::Error::last_os_error(),
            })
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by `Pages::map` with this size, and nobody holds it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let (Some(pages), Some(lender)) = (self.pages.take(), self.lender.upgrade()) {
            lender.give_back(pages);
        }
    }
}

/// A plane of `bytes` bytes at `base` in `region`, `stride` from one place to the next.
pub(crate) fn plane(region: &Arc<Region>, base: usize, stride: usize, bytes: usize) -> Plane {
    Plane {
        region: Arc::clone(region),
        base: base as i64,
        block_stride: stride as i64,
        runs: 1,
        run_stride: 0,
        run_bytes: bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_was_given_back_is_lent_again() {
        let buffers = Arc::new(Buffers::default());
        let first = buffers.lend(100_000).expect("memory");
        let other = buffers.lend(100_000).expect("memory");
        assert!(first.nbytes() >= 100_000 && first.address() != other.address());
        let address = first.address();
        drop(first);
        assert_eq!(buffers.lend(90_000).expect("memory").address(), address);
        drop(buffers);
        drop(other);
    }

    #[test]
    fn idle_memory_is_bounded() {
        let buffers = Arc::new(Buffers::default());
        let lent: Vec<_> = (0..5)
            .map(|_| buffers.lend(IDLE_BYTES_MAX / 2).expect("memory"))
            .collect();
        drop(lent);
        assert_eq!(buffers.idle.lock().len(), 2);
    }
}
