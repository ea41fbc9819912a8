use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::ClientError;

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
        self.uses.lock().owner.is_none()
    }

    /// Refuses new operations, waits until none uses it, then lets the memory go. False when
    /// some still did at `deadline`; it goes on refusing and can be closed again.
    pub fn close(&self, deadline: Instant) -> bool {
        let mut uses = self.uses.lock();
        uses.closing = true;
        while uses.operations > 0 {
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
}
