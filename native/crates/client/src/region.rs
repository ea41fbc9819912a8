use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::ClientError;
use crate::fork::ForkGuard;

/// Numbers regions over the whole process, so that a lane never takes one for another.
static NEXT_REGION: AtomicU64 = AtomicU64::new(1);

/// Memory of this process that blocks are read from and written to.
pub struct Region {
    number: u64,
    address: usize,
    nbytes: usize,
    readonly: bool,
    descriptor: Option<OwnedFd>,
    descriptor_offset: u64,
    uses: Mutex<Uses>,
    quiet: Condvar,
    /// Another thread may have held the lock when the process was forked: the child never waits
    /// for it.
    fork: ForkGuard,
}

struct Uses {
    operations: usize,
    closing: bool,
    owner: Option<Box<dyn Send>>,
}

impl Region {
    /// Memory of `nbytes` bytes at `address` that `owner` keeps alive. `descriptor` is the memory
    /// file whose bytes from `descriptor_offset` on this memory maps, if there is one.
    ///
    /// # Safety
    /// Until `owner` is dropped the memory must stay mapped, and stay writable unless `readonly`.
    #[must_use]
    pub unsafe fn new(
        address: usize,
        nbytes: usize,
        readonly: bool,
        owner: Box<dyn Send>,
        descriptor: Option<(OwnedFd, u64)>,
    ) -> Self {
        let (descriptor, descriptor_offset) = match descriptor {
            Some((descriptor, offset)) => (Some(descriptor), offset),
            None => (None, 0),
        };
        Self {
            number: NEXT_REGION.fetch_add(1, Ordering::Relaxed),
            address,
            nbytes,
            readonly,
            descriptor,
            descriptor_offset,
            uses: Mutex::new(Uses {
                operations: 0,
                closing: false,
                owner: Some(owner),
            }),
            quiet: Condvar::new(),
            fork: ForkGuard::new(),
        }
    }

    /// First byte's address.
    #[must_use]
    pub fn address(&self) -> usize {
        self.address
    }

    /// Size, bytes.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.nbytes
    }

    /// Whether a get may not write here.
    #[must_use]
    pub fn readonly(&self) -> bool {
        self.readonly
    }

    /// Whether its memory was let go.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.lock().is_some_and(|uses| uses.owner.is_none())
    }

    /// The lock; in a forked child only if it is free, because nobody there would free it.
    fn lock(&self) -> Option<MutexGuard<'_, Uses>> {
        match self.fork.forked() {
            true => self.uses.try_lock(),
            false => Some(self.uses.lock()),
        }
    }

    /// Refuses new operations, waits until none uses it, then lets the memory go. False when
    /// some still did at `deadline`; it goes on refusing and can be closed again.
    ///
    /// In a forked child it never waits: what is counted there are operations of the parent, which
    /// nobody ends. False when there are any, or when the fork has caught a thread at the books.
    pub fn close(&self, deadline: Instant) -> bool {
        let Some(mut uses) = self.lock() else {
            return false;
        };
        uses.closing = true;
        while uses.operations > 0 {
            if self.fork.forked() {
                return false;
            }
            if self.quiet.wait_until(&mut uses, deadline).timed_out() && uses.operations > 0 {
                return false;
            }
        }
        let owner = uses.owner.take();
        drop(uses);
        drop(owner);
        true
    }

    /// Counts one operation that uses the memory.
    pub(crate) fn acquire(&self) -> Result<(), ClientError> {
        self.fork.check()?;
        let mut uses = self.uses.lock();
        if uses.closing {
            return Err(ClientError::Closed { what: "region" });
        }
        uses.operations += 1;
        Ok(())
    }

    /// Ends what [`Region::acquire`] began: nothing of that operation touches the memory now.
    pub(crate) fn release(&self) {
        let mut uses = self.uses.lock();
        assert!(uses.operations > 0, "a region was released twice");
        uses.operations -= 1;
        if uses.operations == 0 {
            self.quiet.notify_all();
        }
    }

    /// Whether it takes no operations any more.
    pub(crate) fn closing(&self) -> bool {
        self.uses.lock().closing
    }

    /// Unique in this process, never reused.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The memory file behind it and where in that file it begins.
    pub(crate) fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        let descriptor = self.descriptor.as_ref()?;
        Some((descriptor.as_fd(), self.descriptor_offset))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn region(bytes: Vec<u8>) -> Region {
        let (address, nbytes) = (bytes.as_ptr() as usize, bytes.len());
        // SAFETY: the vector is the owner, and nobody resizes it.
        unsafe { Region::new(address, nbytes, false, Box::new(bytes), None) }
    }

    #[test]
    fn close_waits_for_operations_and_refuses_new_ones() {
        let region = region(vec![0; 16]);
        region.acquire().expect("open");
        assert!(!region.close(Instant::now() + Duration::from_millis(5)));
        assert!(!region.closed());
        assert!(matches!(
            region.acquire(),
            Err(ClientError::Closed { what: "region" })
        ));
        std::thread::scope(|scope| {
            let closer = scope.spawn(|| region.close(Instant::now() + Duration::from_secs(30)));
            region.release();
            assert!(closer.join().expect("closer"));
        });
        assert!(region.closed());
        assert!(region.close(Instant::now()));
    }

    /// Runs `body` in a forked child; false when it says so or has not ended after ten seconds.
    fn in_a_child(body: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child only runs `body` and ends without unwinding or exit handlers; the
        // alarm ends it if it hangs.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::alarm(10);
                libc::_exit(i32::from(!body()));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            status == 0
        }
    }

    #[test]
    fn a_forked_child_never_waits_for_its_parents_threads() {
        let region = region(vec![0; 16]);
        let uses = region.uses.lock();
        // The child has no thread that would free the lock.
        assert!(in_a_child(|| !region.closed()
            && !region.close(Instant::now() + Duration::from_secs(60))
            && matches!(region.acquire(), Err(ClientError::Forked { .. }))));
        drop(uses);
        region.acquire().expect("open");
        // Nor one that would end the operation.
        let later = Instant::now() + Duration::from_secs(60);
        assert!(in_a_child(|| !region.close(later) && !region.closed()));
        region.release();
        assert!(in_a_child(|| region.close(later) && region.closed()));
        assert!(!region.closed(), "the parent's own goes on");
        assert!(region.close(Instant::now()));
    }
}
