use std::io;
use std::slice;

use holdfast_index::{AnonymousMap, IdHash, Slot, SlotHashes, prefetch};

use super::place::Place;

/// All that is kept of one block beside the disk: half a cache line.
#[repr(C, align(32))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    /// The block's id; in a free record the first four bytes name the next free slot.
    pub(crate) id: [u8; 16],
    /// CRC-32C of the payload.
    pub(crate) crc: u32,
    /// The put that wrote it.
    pub(crate) write_id: u32,
    /// Where it lies, and the rest.
    pub(crate) place: Place,
}

const _: () = assert!(size_of::<Record>() == 32);

/// Ends the list of free slots.
const NONE: Slot = Slot::MAX;

/// The records, by slot, in memory that becomes resident as they are used.
#[derive(Debug)]
pub(crate) struct Slots {
    memory: AnonymousMap,
    slots_max: u32,
    /// Slots from here on were never used.
    fresh: u32,
    free: Slot,
}

impl Slots {
    /// Room for so many records.
    pub(crate) fn new(slots_max: u64) -> io::Result<Self> {
        let bytes = slots_max as usize * size_of::<Record>();
        Ok(Self {
            memory: AnonymousMap::new(bytes, false)?,
            slots_max: slots_max as u32,
            fresh: 0,
            free: NONE,
        })
    }

    /// Slots that were used at some time.
    pub(crate) fn used(&self) -> u32 {
        self.fresh
    }

    /// Memory held, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = self.fresh as usize * size_of::<Record>();
        bytes.next_multiple_of(self.memory.page_bytes()) as u64
    }

    /// Takes a slot; `None` when all are in use.
    pub(crate) fn take(&mut self, record: Record) -> Option<Slot> {
        let slot = if self.free != NONE {
            let slot = self.free;
            let id = self.get(slot).id;
            self.free = u32::from_le_bytes([id[0], id[1], id[2], id[3]]);
            slot
        } else if self.fresh < self.slots_max {
            self.fresh += 1;
            self.fresh - 1
        } else {
            return None;
        };
        *self.get_mut(slot) = record;
        Some(slot)
    }

    /// Gives a slot back.
    pub(crate) fn free(&mut self, slot: Slot) {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.free.to_le_bytes());
        *self.get_mut(slot) = Record {
            id,
            crc: 0,
            write_id: 0,
            place: Place::default(),
        };
        self.free = slot;
    }

    fn records(&self) -> *mut Record {
        self.memory.as_ptr().cast()
    }

    /// The record of a slot that was used at some time.
    #[inline]
    pub(crate) fn get(&self, slot: Slot) -> &Record {
        // SAFETY: so many records lie in the mapping, any bytes are a record, and the borrow of
        // self guards them; the index is checked.
        unsafe { &slice::from_raw_parts(self.records(), self.fresh as usize)[slot as usize] }
    }

    /// As [`Slots::get`], to be changed.
    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut Record {
        // SAFETY: as above, through an exclusive borrow of self.
        unsafe {
            &mut slice::from_raw_parts_mut(self.records(), self.fresh as usize)[slot as usize]
        }
    }

    /// Asks for the record to be fetched.
    #[inline]
    pub(crate) fn prefetch(&self, slot: Slot) {
        prefetch(self.records().wrapping_add(slot as usize));
    }
}

/// How the table learns the hash of a slot.
pub(super) struct RecordHashes<'a>(pub(super) &'a Slots, pub(super) IdHash);

impl SlotHashes for RecordHashes<'_> {
    fn hash_of(&self, slot: Slot) -> u64 {
        self.1.of(&self.0.get(slot).id)
    }

    fn prefetch(&self, slot: Slot) {
        self.0.prefetch(slot);
    }
}
