//! The index: which slot holds a block, 32 bytes a record and some 5 for the table.

mod fates;
mod place;
mod slots;
mod spaces;

use std::io;

use holdfast_engine::{BlockId, Millis, SpaceSpec};
use holdfast_index::{IdHash, Slot, Table};

use crate::layout::SegmentKind;
pub(crate) use place::{Place, SpaceHandle, TOUCHES_MAX};
use slots::RecordHashes;
pub(crate) use slots::{Record, Slots};
pub(crate) use spaces::{Space, SpaceConflict, Spaces};

/// Ids looked up together, so that their cache misses overlap.
const LOOKUP_KEYS: usize = 64;

/// Part of an index in use above which it is short, percent.
const SHORT_PERCENT: u64 = 95;

/// Records, their table and their spaces.
#[derive(Debug)]
pub(crate) struct Index {
    slots: Slots,
    table: Table,
    hash: IdHash,
    spaces: Spaces,
    /// Records that can be read.
    blocks: u64,
    blocks_max: u64,
}

impl Index {
    /// An empty index for so many blocks.
    pub(crate) fn new(blocks_max: u64) -> io::Result<Self> {
        Ok(Self {
            slots: Slots::new(blocks_max)?,
            table: Table::new(blocks_max, 0, false)?,
            hash: IdHash::random(),
            spaces: Spaces::default(),
            blocks: 0,
            blocks_max,
        })
    }

    /// Whether so much of it is in use that blocks should go before others come.
    pub(crate) fn is_short(&self) -> bool {
        self.table.len() * 100 >= self.blocks_max * SHORT_PERCENT
    }

    /// Makes room in the table for so many blocks at once, if nothing is in it: a table that grows
    /// moves its entries about.
    ///
    /// # Errors
    /// What the kernel said when it refused the address space.
    pub(crate) fn expect(&mut self, blocks: u64) -> io::Result<()> {
        if self.table.is_empty() {
            self.table = Table::new(self.blocks_max, blocks.min(self.blocks_max), false)?;
        }
        Ok(())
    }

    /// Blocks that can be read; expired ones count until they are met.
    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Memory held, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.slots.bytes() + self.table.bytes() + self.spaces.heap_bytes()
    }

    /// Slots that were used at some time.
    pub(crate) fn slots_used(&self) -> u32 {
        self.slots.used()
    }

    /// The record of a slot.
    pub(crate) fn record(&self, slot: Slot) -> &Record {
        self.slots.get(slot)
    }

    /// The spaces.
    pub(crate) fn spaces(&self) -> &Spaces {
        &self.spaces
    }

    /// The spaces, to be changed.
    pub(crate) fn spaces_mut(&mut self) -> &mut Spaces {
        &mut self.spaces
    }

    /// The space of a record.
    pub(crate) fn space_of(&self, record: &Record) -> &Space {
        self.spaces.get(record.place.space())
    }

    /// Seeded hash of an id.
    pub(crate) fn hash_of(&self, id: &BlockId) -> u64 {
        self.hash.of(id)
    }

    fn is_block(&self, slot: Slot, id: &BlockId, space: SpaceHandle) -> bool {
        let record = self.slots.get(slot);
        record.id == *id && record.place.space() == space
    }

    /// Begins to fetch what [`Index::find`] looks at.
    pub(crate) fn prefetch(&self, id: &BlockId) {
        self.table.probe(self.hash.of(id));
    }

    /// The slot of a block, written or being written.
    pub(crate) fn find(&self, space: SpaceHandle, id: &BlockId) -> Option<Slot> {
        let probe = self.table.probe(self.hash.of(id));
        self.table
            .find(probe, |slot| self.is_block(slot, id, space))
    }

    /// Calls `found` with the slot of each id, fetching many at a time.
    pub(crate) fn find_all(
        &mut self,
        space: SpaceHandle,
        ids: &[BlockId],
        mut found: impl FnMut(&mut Self, usize, Option<Slot>),
    ) {
        for (turn, chunk) in ids.chunks(LOOKUP_KEYS).enumerate() {
            let mut probes = [None; LOOKUP_KEYS];
            for (probe, id) in probes.iter_mut().zip(chunk) {
                *probe = Some(self.table.probe(self.hash.of(id)));
            }
            for probe in probes.iter().flatten() {
                if let Some(slot) = self.table.first_candidate(*probe) {
                    self.slots.prefetch(slot);
                }
            }
            let mut slots = [None; LOOKUP_KEYS];
            for ((slot, probe), id) in slots.iter_mut().zip(probes.iter().flatten()).zip(chunk) {
                let is_it = |slot| self.is_block(slot, id, space);
                *slot = self.table.find(*probe, is_it);
            }
            for (number, slot) in slots[..chunk.len()].iter().enumerate() {
                found(self, turn * LOOKUP_KEYS + number, *slot);
            }
        }
    }

    /// Makes the space known; see [`Spaces::admit`].
    pub(crate) fn admit_space(
        &mut self,
        spec: &SpaceSpec,
        kind: SegmentKind,
    ) -> Result<SpaceHandle, SpaceConflict> {
        self.spaces.admit(spec, kind)
    }

    /// A record for a block that is about to be written; the caller knows that there is none.
    /// `None` when the index is full.
    pub(crate) fn begin(
        &mut self,
        space: SpaceHandle,
        id: BlockId,
        born: Millis,
        now: Millis,
        tick: u8,
    ) -> Option<Slot> {
        let birth = self.spaces.get(space).birth(born, now);
        let slot = self.slots.take(Record {
            id,
            crc: 0,
            write_id: 0,
            place: Place::writing(space, birth, tick),
        })?;
        let hashes = RecordHashes(&self.slots, self.hash);
        if !self.table.insert(self.hash.of(&id), slot, &hashes) {
            self.slots.free(slot);
            return None;
        }
        self.spaces.get_mut(space).records += 1;
        Some(slot)
    }

    /// What the record says of the payload.
    pub(crate) fn describe(&mut self, slot: Slot, crc: u32, write_id: u32) {
        let record = self.slots.get_mut(slot);
        record.crc = crc;
        record.write_id = write_id;
    }

    /// The block lies at this page now and can be read. False, and the record is gone, when it
    /// was deleted or its space dropped meanwhile.
    pub(crate) fn commit(&mut self, slot: Slot, page: u64) -> bool {
        let place = self.slots.get(slot).place;
        if place.is_doomed() || self.spaces.get(place.space()).dropped {
            self.abort(slot);
            return false;
        }
        self.slots.get_mut(slot).place = place.at(page);
        self.blocks += 1;
        true
    }

    /// A block that was to be written is not.
    pub(crate) fn abort(&mut self, slot: Slot) {
        let record = *self.slots.get(slot);
        debug_assert!(record.place.page().is_none());
        if !record.place.is_doomed() {
            self.table.remove(self.hash.of(&record.id), slot);
        }
        self.release(slot, record.place.space());
    }

    /// A block that is being written is deleted: it cannot be found, and will not be committed.
    pub(crate) fn doom(&mut self, slot: Slot) {
        let record = *self.slots.get(slot);
        if !record.place.is_doomed() {
            self.table.remove(self.hash.of(&record.id), slot);
            self.slots.get_mut(slot).place = record.place.doomed();
        }
    }

    /// Forgets a block that could be read.
    pub(crate) fn remove(&mut self, slot: Slot) {
        let record = *self.slots.get(slot);
        debug_assert!(record.place.page().is_some());
        self.table.remove(self.hash.of(&record.id), slot);
        self.release(slot, record.place.space());
        self.blocks -= 1;
    }

    fn release(&mut self, slot: Slot, space: SpaceHandle) {
        self.spaces.get_mut(space).records -= 1;
        self.slots.free(slot);
    }

    /// The block lies elsewhere now.
    pub(crate) fn move_to(&mut self, slot: Slot, page: u64) {
        let record = self.slots.get_mut(slot);
        debug_assert!(record.place.page().is_some());
        record.place = record.place.at(page);
    }

    /// The block is used at this tick.
    pub(crate) fn touch(&mut self, slot: Slot, tick: u8) {
        let record = self.slots.get_mut(slot);
        record.place = record.place.touched(tick);
    }
}
