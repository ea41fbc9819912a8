use super::{LOOKUP_KEYS, State};
use crate::record::{Record, Slot, SlotState};
use crate::{BlockId, BlockLocation, BlockStat, Millis};

/// A live block and where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) slot: Slot,
    pub(crate) location: BlockLocation,
}

impl State {
    /// For each id whether it is committed and not expired.
    pub(crate) fn exists(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut [bool]) {
        self.each_live(space, ids, now, |key, slot| out[key] = slot.is_some());
    }

    /// Calls back for each id with the slot of its live block.
    fn each_live(
        &self,
        space: u32,
        ids: &[BlockId],
        now: Millis,
        mut call: impl FnMut(usize, Option<Slot>),
    ) {
        let Some(handle) = self.spaces.handle(space) else {
            (0..ids.len()).for_each(|key| call(key, None));
            return;
        };
        let space = self.spaces.get(handle);
        let now_units = space.units(now);
        let mut found = [None; LOOKUP_KEYS];
        for (part, ids) in ids.chunks(LOOKUP_KEYS).enumerate() {
            self.find_many(handle, ids, &mut found);
            for (step, slot) in found[..ids.len()].iter().enumerate() {
                let live = slot.filter(|&slot| {
                    let record = self.extents.record(slot);
                    record.is_visible() && !space.is_expired(record.birth, now_units)
                });
                call(part * LOOKUP_KEYS + step, live);
            }
        }
    }

    /// Replaces `out` by where each live block lies, renewing recency; holds them when told to.
    pub(crate) fn lookup(
        &mut self,
        space: u32,
        ids: &[BlockId],
        now: Millis,
        hold: bool,
        out: &mut Vec<Option<Found>>,
    ) {
        out.clear();
        out.resize(ids.len(), None);
        self.expire_pins(now);
        let Some(handle) = self.spaces.handle(space) else {
            self.counters.misses += ids.len() as u64;
            return;
        };
        let space = *self.spaces.get(handle);
        let now_units = space.units(now);
        self.begin_batch(space.class);
        let mut slots = [None; LOOKUP_KEYS];
        for (ids, out) in ids.chunks(LOOKUP_KEYS).zip(out.chunks_mut(LOOKUP_KEYS)) {
            self.find_many(handle, ids, &mut slots);
            for (slot, found) in slots[..ids.len()].iter().zip(out) {
                let live = slot.filter(|&slot| {
                    let record = self.extents.record(slot);
                    record.is_visible() && !space.is_expired(record.birth, now_units)
                });
                let Some(slot) = live else {
                    self.counters.misses += 1;
                    continue;
                };
                self.counters.hits += 1;
                self.touch(slot);
                if hold {
                    self.hold(slot);
                }
                *found = Some(Found {
                    slot,
                    location: self.location(slot, space.block_bytes),
                });
            }
        }
    }

    /// Where a slot's bytes lie.
    pub(super) fn location(&self, slot: Slot, block_bytes: u32) -> BlockLocation {
        let extent = self.extents.extent_of(slot);
        let place = u64::from(self.extents.place_of(slot));
        let owner = self.extents.extent(extent);
        let record = self.extents.record(slot);
        BlockLocation {
            extent,
            view: owner.view,
            offset: place * self.classes[owner.class as usize].slot_bytes,
            block_bytes,
            crc: record.crc,
            write_id: record.write_id,
        }
    }

    /// Adds a reader to a committed block: it stays where it is until released.
    pub(super) fn hold(&mut self, slot: Slot) {
        if self.pins.add_reader(slot) {
            self.extents.record_mut(slot).set_state(SlotState::Pinned);
            self.extents.owner_mut(slot).held += 1;
        }
    }

    /// Takes a reader away.
    pub(crate) fn release(&mut self, slot: Slot) {
        if !self.pins.remove_reader(slot) {
            return;
        }
        let number = self.extents.extent_of(slot);
        self.extents.extent_mut(number).held -= 1;
        let record = self.extents.record_mut(slot);
        if record.state() == SlotState::Doomed {
            self.free(slot);
            self.release_if_empty(number);
        } else {
            record.set_state(SlotState::Committed);
        }
    }

    /// Renews recency of blocks that were read elsewhere; neither hits nor misses of this engine.
    pub(crate) fn touch_many(
        &mut self,
        space: u32,
        ids: &[BlockId],
        now: Millis,
        out: &mut [bool],
    ) {
        let (hits, misses) = (self.counters.hits, self.counters.misses);
        let mut found = Vec::new();
        self.lookup(space, ids, now, false, &mut found);
        (self.counters.hits, self.counters.misses) = (hits, misses);
        for (out, found) in out.iter_mut().zip(&found) {
            *out = found.is_some();
        }
    }

    /// Holds the block that one put wrote, without renewing recency.
    pub(crate) fn hold_written(
        &mut self,
        space: u32,
        id: &BlockId,
        write_id: u32,
    ) -> Option<Found> {
        let handle = self.spaces.handle(space)?;
        let slot = self.find(handle, id)?;
        let record = self.extents.record(slot);
        if !record.is_visible() || record.write_id != write_id {
            return None;
        }
        self.hold(slot);
        let block_bytes = self.spaces.get(handle).block_bytes;
        Some(Found {
            slot,
            location: self.location(slot, block_bytes),
        })
    }

    /// Replaces `out` by what is known of each live block.
    pub(crate) fn stat(
        &self,
        space: u32,
        ids: &[BlockId],
        now: Millis,
        out: &mut Vec<Option<BlockStat>>,
    ) {
        out.clear();
        out.resize(ids.len(), None);
        self.each_live(space, ids, now, |key, slot| {
            out[key] = slot.map(|slot| self.block_stat(self.extents.record(slot), now));
        });
    }

    fn block_stat(&self, record: &Record, now: Millis) -> BlockStat {
        BlockStat {
            crc: record.crc,
            write_id: record.write_id,
            position_class: record.word.position_class(),
            touches: record.word.touches() as u8,
            age_ms: self.spaces.get(record.space()).age_ms(record.birth, now),
            pinned: record.state() == SlotState::Pinned,
        }
    }
}
