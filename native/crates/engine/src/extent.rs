use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::record::{Record, Slot};
use crate::records::Records;

/// Class number of an extent that has none.
pub(crate) const NO_CLASS: u32 = u32::MAX;
/// Tenant number of an extent whose bytes are all zero.
pub(crate) const NO_TENANT: u64 = u64::MAX;

/// One extent: a memory file mapped at a fixed place of the arena, and the records of its slots.
pub(crate) struct Extent {
    /// The memory file behind the mapping.
    pub(crate) file: Arc<OwnedFd>,
    /// Number of the file, new for each one.
    pub(crate) view: u32,
    /// Whether the file was given out.
    pub(crate) exported: bool,
    /// Marked while its blocks are evicted for a move: no slot of it is given out.
    pub(crate) draining: bool,
    /// Whether its class lists it among those with room.
    pub(crate) listed: bool,
    /// Class that it belongs to, or [`NO_CLASS`].
    pub(crate) class: u32,
    /// Tenant whose bytes may still lie in it, or [`NO_TENANT`].
    pub(crate) bytes_of: u64,
    /// One for each slot.
    pub(crate) records: Records,
    /// Slots in use.
    pub(crate) used: u32,
    /// Slots held by readers, writers or timed pins: the extent cannot move.
    pub(crate) held: u32,
    /// Slots from here on were never used by this class.
    fresh: u32,
    /// First of the freed slots plus one; 0 for none.
    freed: u32,
}

impl Extent {
    pub(crate) fn new(file: Arc<OwnedFd>, view: u32) -> Self {
        Self {
            file,
            view,
            exported: false,
            draining: false,
            listed: false,
            class: NO_CLASS,
            bytes_of: NO_TENANT,
            records: Records::none(),
            used: 0,
            held: 0,
            fresh: 0,
            freed: 0,
        }
    }

    /// Gives the extent to a class, cut into `slots`.
    pub(crate) fn attach(&mut self, class: u32, tenant: u32, slots: u32) {
        debug_assert!(self.class == NO_CLASS && self.used == 0);
        self.class = class;
        self.bytes_of = u64::from(tenant);
        self.records = Records::new(slots);
        self.draining = false;
        self.fresh = 0;
        self.freed = 0;
    }

    /// Takes the empty extent from its class.
    pub(crate) fn detach(&mut self) {
        debug_assert!(self.used == 0 && self.held == 0);
        self.class = NO_CLASS;
        self.records = Records::none();
        self.draining = false;
        self.listed = false;
    }

    /// Slots, used and free.
    #[inline]
    pub(crate) fn slots(&self) -> u32 {
        self.records.as_slice().len() as u32
    }

    /// Memory that the records occupy, bytes.
    pub(crate) fn record_bytes(&self) -> u64 {
        self.records.bytes(self.fresh)
    }

    /// Takes a free slot: its place in the extent.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let place = if self.freed != 0 {
            let place = self.freed - 1;
            self.freed = self.records[place].next_free();
            place
        } else if self.fresh < self.slots() {
            self.fresh += 1;
            self.fresh - 1
        } else {
            return None;
        };
        self.used += 1;
        Some(place)
    }

    /// Gives a slot back.
    pub(crate) fn give_back(&mut self, place: u32) {
        self.records[place] = Record::free(self.freed);
        self.freed = place + 1;
        self.used -= 1;
    }
}

/// All extents, and the arithmetic of slot numbers.
pub(crate) struct Extents {
    list: Vec<Extent>,
    shift: u32,
}

/// Bits of a slot number.
const SLOT_BITS: u32 = 28;

impl Extents {
    pub(crate) fn new(list: Vec<Extent>) -> Self {
        let bits = (list.len() as u64).next_power_of_two().trailing_zeros();
        Self {
            list,
            shift: SLOT_BITS - bits,
        }
    }

    /// Most slots that one extent may be cut into.
    pub(crate) fn slots_per_extent_max(&self) -> u64 {
        1 << self.shift
    }

    /// Extents in all.
    pub(crate) fn len(&self) -> u32 {
        self.list.len() as u32
    }

    #[inline]
    pub(crate) fn extent_of(&self, slot: Slot) -> u32 {
        slot >> self.shift
    }

    #[inline]
    pub(crate) fn place_of(&self, slot: Slot) -> u32 {
        slot & ((1 << self.shift) - 1)
    }

    #[inline]
    pub(crate) fn slot(&self, extent: u32, place: u32) -> Slot {
        extent << self.shift | place
    }

    #[inline]
    pub(crate) fn extent(&self, number: u32) -> &Extent {
        &self.list[number as usize]
    }

    #[inline]
    pub(crate) fn extent_mut(&mut self, number: u32) -> &mut Extent {
        &mut self.list[number as usize]
    }

    /// The extent that a slot lies in.
    #[inline]
    pub(crate) fn owner_mut(&mut self, slot: Slot) -> &mut Extent {
        let number = self.extent_of(slot);
        self.extent_mut(number)
    }

    #[inline]
    pub(crate) fn record(&self, slot: Slot) -> &Record {
        &self.extent(self.extent_of(slot)).records[self.place_of(slot)]
    }

    #[inline]
    pub(crate) fn record_mut(&mut self, slot: Slot) -> &mut Record {
        let place = self.place_of(slot);
        &mut self.owner_mut(slot).records[place]
    }

    /// Address of a record, for prefetching; null when there is none.
    #[inline]
    pub(crate) fn record_address(&self, slot: Slot) -> *const Record {
        let records = self.extent(self.extent_of(slot)).records.as_slice();
        records
            .get(self.place_of(slot) as usize)
            .map_or(std::ptr::null(), std::ptr::from_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Extent> {
        self.list.iter()
    }
}
