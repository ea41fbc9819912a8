use std::mem::size_of;
use std::ops::{Index, IndexMut};
use std::ptr::{self, NonNull};
use std::slice;

use crate::record::Record;
use holdfast_index::AnonymousMap;

/// Above this the records lie in pages of their own, fresh and untouched, so that giving an
/// extent its records costs no time in proportion to their number. Small pages: the first touch of
/// a huge one takes milliseconds, and it would happen under the engine's lock.
const PAGES_BYTES_MIN: usize = 256 << 10;

/// The records of one extent, one for each of its slots.
#[derive(Debug)]
pub(crate) struct Records {
    start: NonNull<Record>,
    count: u32,
    memory: Memory,
}

/// Who owns the bytes behind `start`.
#[derive(Debug)]
enum Memory {
    Heap,
    Pages(AnonymousMap),
}

// SAFETY: records are plain values owned by this one.
unsafe impl Send for Records {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Records {}

impl std::fmt::Debug for Record {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Record")
            .field("space", &self.space())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Records {
    /// `count` free records. Memory that the kernel refuses to map comes from the heap instead.
    pub(crate) fn new(count: u32) -> Self {
        let bytes = count as usize * size_of::<Record>();
        if bytes >= PAGES_BYTES_MIN
            && let Ok(map) = AnonymousMap::new(bytes, false)
        {
            // Zeroed bytes are a free record.
            let start = map.start().cast();
            return Self {
                start,
                count,
                memory: Memory::Pages(map),
            };
        }
        let records = vec![Record::free(0); count as usize].into_boxed_slice();
        Self {
            start: NonNull::from(Box::leak(records)).cast(),
            count,
            memory: Memory::Heap,
        }
    }

    /// Records of an extent that belongs to no class.
    pub(crate) fn none() -> Self {
        Self::new(0)
    }

    /// All of them.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[Record] {
        // SAFETY: `start` points to `count` valid records owned by self.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.count as usize) }
    }

    #[inline]
    fn as_mut_slice(&mut self) -> &mut [Record] {
        // SAFETY: as in `as_slice`, and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.count as usize) }
    }

    /// Memory held, bytes, when the records from `fresh` on were never touched.
    pub(crate) fn bytes(&self, fresh: u32) -> u64 {
        let (count, page_bytes) = match &self.memory {
            Memory::Heap => (self.count, 1),
            Memory::Pages(map) => (fresh, map.page_bytes()),
        };
        (count as usize * size_of::<Record>()).next_multiple_of(page_bytes) as u64
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        if matches!(self.memory, Memory::Heap) {
            let records = ptr::slice_from_raw_parts_mut(self.start.as_ptr(), self.count as usize);
            // SAFETY: leaked from a box of this length in `new`, and dropped only here.
            drop(unsafe { Box::from_raw(records) });
        }
    }
}

impl Index<u32> for Records {
    type Output = Record;

    #[inline]
    fn index(&self, place: u32) -> &Record {
        &self.as_slice()[place as usize]
    }
}

impl IndexMut<u32> for Records {
    #[inline]
    fn index_mut(&mut self, place: u32) -> &mut Record {
        &mut self.as_mut_slice()[place as usize]
    }
}
