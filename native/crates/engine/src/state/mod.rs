//! What the engine's lock guards: slots, index, classes, accounts. No payload byte is touched
//! here, nothing waits.

mod class;
mod pins;
mod place;
mod read;
mod remove;
mod share;
mod spaces;
mod stats;
mod tenants;
mod timed;
mod walk;
mod write;

use std::io;

use crate::eviction::EvictionPolicy;
use crate::extent::{Extent, Extents, NO_CLASS};
use crate::record::{Record, Slot, SlotState, SpaceHandle};
use crate::{BlockId, EngineConfig, EvictionConfig, Millis};
use holdfast_index::prefetch;
use holdfast_index::{IdHash, NumberMap};
use holdfast_index::{SlotHashes, Table};

use class::{Class, SLOT_ALIGN};
use pins::Pins;
use spaces::Spaces;
use stats::Counters;
use tenants::Tenants;

pub(crate) use place::{Cleared, ExtentMove};
pub(crate) use read::Found;
pub(crate) use write::{KeyResult, Put, Step};

/// Ids looked up together, so that their cache misses overlap.
const LOOKUP_KEYS: usize = 64;

/// Everything behind the lock.
pub(crate) struct State {
    pub(crate) extents: Extents,
    hash: IdHash,
    table: Table,
    spaces: Spaces,
    classes: Vec<Class>,
    class_numbers: NumberMap<u64, u32>,
    tenants: Tenants,
    pins: Pins,
    counters: Counters,
    extents_free: Vec<u32>,
    extent_bytes: u64,
    pin_bytes_max: u64,
    eviction: EvictionConfig,
    /// Bytes inserted since the start: the time that ages of different classes share.
    engine_time: u64,
    view_next: u32,
    swept: u64,
    /// The latest time that was passed in.
    noted: Millis,
}

struct RecordHashes<'a>(&'a Extents, IdHash);

impl SlotHashes for RecordHashes<'_> {
    fn hash_of(&self, slot: Slot) -> u64 {
        self.1.of(&self.0.record(slot).id)
    }

    fn prefetch(&self, slot: Slot) {
        prefetch(self.0.record_address(slot));
    }
}

impl State {
    /// A state over these extents, none of them in use.
    pub(crate) fn new(config: &EngineConfig, list: Vec<Extent>) -> io::Result<Self> {
        let extents = Extents::new(list);
        let count = extents.len();
        let per_extent = (config.extent_bytes / SLOT_ALIGN).min(extents.slots_per_extent_max());
        let slots_max = u64::from(count) * per_extent;
        let blocks = config.index_blocks_max.unwrap_or(0).min(slots_max);
        Ok(Self {
            hash: IdHash::random(),
            table: Table::new(slots_max, blocks, config.huge_pages)?,
            spaces: Spaces::default(),
            classes: Vec::new(),
            class_numbers: NumberMap::default(),
            tenants: Tenants::default(),
            pins: Pins::default(),
            counters: Counters::default(),
            // Given out from the end: the first extent first.
            extents_free: (0..count).rev().collect(),
            extent_bytes: config.extent_bytes,
            pin_bytes_max: config.pin_bytes_max,
            eviction: config.eviction.clone(),
            engine_time: 0,
            view_next: count + 1,
            swept: 0,
            noted: 0,
            extents,
        })
    }

    /// Looks up at most [`LOOKUP_KEYS`] ids of one space, in whatever state; all cache misses of
    /// a step are under way together.
    fn find_many(&self, space: SpaceHandle, ids: &[BlockId], found: &mut [Option<Slot>]) {
        debug_assert!(ids.len() <= LOOKUP_KEYS);
        let mut probes = [None; LOOKUP_KEYS];
        for (probe, id) in probes.iter_mut().zip(ids) {
            *probe = Some(self.table.probe(self.hash.of(id)));
        }
        for probe in probes[..ids.len()].iter().flatten() {
            if let Some(slot) = self.table.first_candidate(*probe) {
                prefetch(self.extents.record_address(slot));
            }
        }
        for ((slot, probe), id) in found.iter_mut().zip(probes).zip(ids) {
            *slot = probe.and_then(|probe| {
                self.table
                    .find(probe, |slot| self.extents.record(slot).is_block(id, space))
            });
        }
    }

    /// Looks up one id of a space, in whatever state.
    fn find(&self, space: SpaceHandle, id: &BlockId) -> Option<Slot> {
        let probe = self.table.probe(self.hash.of(id));
        self.table
            .find(probe, |slot| self.extents.record(slot).is_block(id, space))
    }

    /// Notes the time of a call. After a pause so long that births could be mistaken for later
    /// ones, all blocks with a time to live are over: their spaces begin anew.
    #[inline]
    pub(crate) fn note_time(&mut self, now: Millis) {
        if now.saturating_sub(self.noted) >= spaces::PAUSE_MS_MIN {
            self.spaces.renew_after_pause(now - self.noted);
        }
        self.noted = self.noted.max(now);
    }

    /// Whether readers may see the record now.
    fn is_live(&self, record: &Record, now: Millis) -> bool {
        if !record.is_visible() {
            return false;
        }
        let space = self.spaces.get(record.space());
        !space.dropped && !space.is_expired(record.birth, space.units(now))
    }

    /// Class that a slot belongs to.
    fn class_of(&self, slot: Slot) -> u32 {
        self.extents.extent(self.extents.extent_of(slot)).class
    }

    /// Renews what the policy remembers of a used block.
    fn touch(&mut self, slot: Slot) {
        let class = self.class_of(slot) as usize;
        let record = self.extents.record_mut(slot);
        record.word = self.classes[class].touch(record.word);
    }

    /// Latches the logical time of a class for the batch that begins.
    fn begin_batch(&mut self, class: u32) {
        let class = &mut self.classes[class as usize];
        class.clock.begin_batch(self.engine_time, class.used);
    }

    /// Makes a block unreachable and frees its slot, now or when its last holder lets go.
    fn unlink(&mut self, slot: Slot) {
        let record = *self.extents.record(slot);
        self.table.remove(self.hash.of(&record.id), slot);
        match record.state() {
            SlotState::Committed => {
                self.counters.blocks -= 1;
                self.free(slot);
            }
            SlotState::Pinned => {
                self.counters.blocks -= 1;
                self.end_timed_pin(slot);
                if self.extents.record(slot).state() == SlotState::Pinned {
                    self.extents.record_mut(slot).set_state(SlotState::Doomed);
                } else {
                    self.free(slot);
                }
            }
            SlotState::Writing => self.extents.record_mut(slot).set_state(SlotState::Doomed),
            SlotState::Doomed => unreachable!("a doomed slot is not in the index"),
        }
    }

    /// Gives the slot of an unlinked block back to its extent.
    fn free(&mut self, slot: Slot) {
        let handle = self.extents.record(slot).space();
        self.spaces.get_mut(handle).records -= 1;
        let (number, place) = (self.extents.extent_of(slot), self.extents.place_of(slot));
        let extent = self.extents.extent_mut(number);
        extent.give_back(place);
        let class = &mut self.classes[extent.class as usize];
        if !extent.listed && !extent.draining {
            extent.listed = true;
            class.roomy.push(number);
        }
        class.used -= 1;
        self.tenants.account(class.tenant).used_bytes -= class.slot_bytes;
    }

    /// Gives an extent back if nothing is left in it.
    fn release_if_empty(&mut self, number: u32) {
        let extent = self.extents.extent_mut(number);
        if extent.class == NO_CLASS || extent.used > 0 {
            return;
        }
        let class = &mut self.classes[extent.class as usize];
        class.extents.retain(|&other| other != number);
        class.roomy.retain(|&other| other != number);
        class.resized();
        self.tenants.account(class.tenant).extents -= 1;
        extent.detach();
        self.extents_free.push(number);
    }

    /// Drops a block on request or because its time is over, and its extent with the last one.
    fn discard(&mut self, slot: Slot) {
        let number = self.extents.extent_of(slot);
        self.unlink(slot);
        self.release_if_empty(number);
    }

    /// Evicts a block.
    fn evict(&mut self, slot: Slot) {
        let record = *self.extents.record(slot);
        if self.spaces.get(record.space()).dropped {
            self.counters.deleted += 1;
        } else {
            let hash = self.hash.of(&record.id);
            let class = self.class_of(slot) as usize;
            self.classes[class].policy.evicted(hash, record.word);
            self.counters.evictions += 1;
        }
        self.unlink(slot);
    }
}
