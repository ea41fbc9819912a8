use std::mem::size_of;

use crate::Slot;

/// Entries of one bucket.
pub(crate) const BUCKET_ENTRIES: usize = 14;

const COUNT_AT: usize = 14;
const HIGH_AT: usize = 15;
const LOW_AT: usize = 22;

/// One cache line: 14 tags, a count, 14 slots of 28 bits.
///
/// Bytes 0-13 tags; 14 count; 15-21 the slots' highest four bits, two slots a byte; 22-63 the
/// slots' lower 24 bits, little endian. Entries 0 to count-1 are in use.
#[repr(C, align(64))]
pub(crate) struct Bucket {
    bytes: [u8; 64],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    /// Entries in use.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        usize::from(self.bytes[COUNT_AT])
    }

    /// Bit `n` is set when entry `n` is in use and carries `tag`.
    #[inline]
    pub(crate) fn matches(&self, tag: u8) -> u32 {
        let used = (1u32 << self.count()) - 1;
        equal_bytes(&self.bytes, tag) & used
    }

    /// Slot of one entry.
    #[inline]
    pub(crate) fn slot(&self, entry: usize) -> Slot {
        // The byte before the low part is read along and shifted out, so that the last entry
        // needs no byte after the bucket.
        let at = LOW_AT - 1 + 3 * entry;
        let word = [
            self.bytes[at],
            self.bytes[at + 1],
            self.bytes[at + 2],
            self.bytes[at + 3],
        ];
        let low = u32::from_le_bytes(word) >> 8;
        let high = u32::from(self.bytes[HIGH_AT + entry / 2] >> (4 * (entry % 2))) & 0xF;
        high << 24 | low
    }

    fn set(&mut self, entry: usize, tag: u8, slot: Slot) {
        debug_assert!(slot < 1 << 28);
        self.bytes[entry] = tag;
        let at = LOW_AT + 3 * entry;
        self.bytes[at..at + 3].copy_from_slice(&slot.to_le_bytes()[..3]);
        let shift = 4 * (entry % 2);
        let high = &mut self.bytes[HIGH_AT + entry / 2];
        *high = *high & !(0xF << shift) | ((slot >> 24) as u8) << shift;
    }

    /// Adds an entry; false when the bucket is full.
    pub(crate) fn push(&mut self, tag: u8, slot: Slot) -> bool {
        let count = self.count();
        if count == BUCKET_ENTRIES {
            return false;
        }
        self.set(count, tag, slot);
        self.bytes[COUNT_AT] += 1;
        true
    }

    /// Takes an entry out; the last one takes its place.
    pub(crate) fn take(&mut self, entry: usize) -> Slot {
        let slot = self.slot(entry);
        let last = self.count() - 1;
        let (tag, moved) = (self.bytes[last], self.slot(last));
        self.set(entry, tag, moved);
        self.bytes[COUNT_AT] = last as u8;
        slot
    }

    /// Replaces an entry and returns the slot that was there.
    pub(crate) fn replace(&mut self, entry: usize, tag: u8, slot: Slot) -> Slot {
        let old = self.slot(entry);
        self.set(entry, tag, slot);
        old
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn equal_bytes(bytes: &[u8; 64], tag: u8) -> u32 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_load_si128, _mm_movemask_epi8, _mm_set1_epi8,
    };
    // SAFETY: the first 16 of 64 bytes, aligned to 64; SSE2 is part of x86-64.
    unsafe {
        let head = _mm_load_si128(bytes.as_ptr().cast::<__m128i>());
        _mm_movemask_epi8(_mm_cmpeq_epi8(head, _mm_set1_epi8(tag as i8))) as u32
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn equal_bytes(bytes: &[u8; 64], tag: u8) -> u32 {
    let mut mask = 0;
    for (entry, &byte) in bytes[..BUCKET_ENTRIES].iter().enumerate() {
        mask |= u32::from(byte == tag) << entry;
    }
    mask
}
