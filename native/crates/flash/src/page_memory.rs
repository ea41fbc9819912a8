use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use crate::layout::PAGE_BYTES;

/// Whole pages of heap memory at a page's boundary: what a disk reads into without a copy.
#[derive(Debug)]
pub struct PageMemory {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: plain memory that this value owns alone.
unsafe impl Send for PageMemory {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for PageMemory {}

impl PageMemory {
    /// Zeroed memory for `bytes` (at least 1), rounded up to whole pages.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let layout = Self::layout(bytes.max(1).next_multiple_of(PAGE_BYTES));
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self {
            start,
            bytes: layout.size(),
        }
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, PAGE_BYTES).expect("a size that fits the address space")
    }
}

impl Deref for PageMemory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: owned, initialised, of this length.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for PageMemory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for PageMemory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.bytes)) };
    }
}
