use std::collections::HashSet;

use super::place::{ExtentMove, Placed};
use super::{LOOKUP_KEYS, State};
use crate::eviction::{Admission, EvictionPolicy};
use crate::record::{Record, Slot, SlotState, SpaceHandle};
use crate::state::class::Class;
use crate::{BlockId, BlockLocation, Millis, PutKey, RefusedReason, SpaceSpec};
use holdfast_index::prefetch;

/// Times that one put may let go of the lock; the keys that are left then are busy.
const STEPS_MAX: u32 = 65_536;

/// Classes kept although they hold nothing, in case their tenant puts again.
const CLASSES_KEPT: usize = 1024;

/// Result of a reservation as the state sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyResult {
    Write { slot: Slot, location: BlockLocation },
    Present,
    Busy,
    Refused(RefusedReason),
    Duplicate,
}

/// What a put needs before it can go on.
pub(crate) enum Step {
    /// All keys have a result.
    Done,
    /// Let others have the lock for a moment, then go on.
    Again,
    /// Clear this extent outside the lock, then hand it back by [`State::finish_move`].
    Move(ExtentMove),
}

/// A batch of reservations on its way.
pub(crate) struct Put<'a> {
    spec: &'a SpaceSpec,
    writes: &'a [PutKey],
    write_id: u32,
    age_ms: u64,
    /// Whether another node holds the blocks.
    copies: bool,
    now: Millis,
    deepest: u32,
    /// Uses of each key's block before it was evicted; empty until the first step.
    recalled: Vec<u8>,
    steps: u32,
    /// Extent whose blocks this put is evicting to take it over.
    pub(super) draining: Option<u32>,
    /// Slots reserved so far, once an id was met that may stand twice in the batch.
    own_slots: Option<HashSet<Slot>>,
    pub(crate) results: Vec<KeyResult>,
}

impl<'a> Put<'a> {
    pub(crate) fn new(
        spec: &'a SpaceSpec,
        writes: &'a [PutKey],
        write_id: u32,
        now: Millis,
    ) -> Self {
        let deepest = writes.iter().map(|write| write.position).max();
        Self {
            spec,
            writes,
            write_id,
            age_ms: 0,
            copies: false,
            now,
            deepest: deepest.unwrap_or(0),
            recalled: Vec::new(),
            steps: 0,
            draining: None,
            own_slots: None,
            results: Vec::with_capacity(writes.len()),
        }
    }

    /// The same put, of blocks that were written elsewhere this long ago.
    pub(crate) fn copying(self, age_ms: u64) -> Self {
        Self {
            age_ms,
            copies: true,
            ..self
        }
    }

    /// Whether a slot was reserved earlier in this batch.
    fn owns(&mut self, slot: Slot) -> bool {
        let results = &self.results;
        self.own_slots
            .get_or_insert_with(|| {
                let slots = results.iter().filter_map(|result| match result {
                    KeyResult::Write { slot, .. } => Some(*slot),
                    _ => None,
                });
                slots.collect()
            })
            .contains(&slot)
    }
}

impl State {
    /// Goes on with a put as far as it can without waiting.
    pub(crate) fn advance_put(&mut self, put: &mut Put<'_>) -> Step {
        put.steps += 1;
        if put.steps > STEPS_MAX {
            self.abandon_drain(put);
            self.fill(put, KeyResult::Busy);
            return Step::Done;
        }
        self.expire_pins(put.now);
        let handle = match self.space_for(put.spec) {
            Ok(handle) => handle,
            Err(reason) => {
                self.fill(put, KeyResult::Refused(reason));
                return Step::Done;
            }
        };
        let class = self.spaces.get(handle).class;
        self.begin_batch(class);
        if put.steps == 1 {
            self.recall(put, class);
        }
        while put.results.len() < put.writes.len() {
            let first = put.results.len();
            let last = put.writes.len().min(first + LOOKUP_KEYS);
            for write in &put.writes[first..last] {
                self.table.probe(self.hash.of(&write.id));
            }
            for index in first..last {
                match self.reserve_one(put, handle, index) {
                    Ok(result) => self.settle_result(put, result),
                    Err(step) => return step,
                }
            }
        }
        self.abandon_drain(put);
        Step::Done
    }

    /// Asks the policy what it remembers of each key's block.
    ///
    /// Whoever used a block used every block before it, so a block that the policy forgot is
    /// given the uses of a deeper one that it remembers: a prefix is known whole or not at all.
    fn recall(&mut self, put: &mut Put<'_>, class: u32) {
        let policy = &mut self.classes[class as usize].policy;
        put.recalled.resize(put.writes.len(), 0);
        let mut deeper = PutKey {
            id: [0; 16],
            position: 0,
        };
        let mut uses = 0;
        for (write, recalled) in put.writes.iter().zip(&mut put.recalled).rev() {
            if write.position >= deeper.position {
                // Not before the last one: another prefix.
                uses = 0;
            }
            uses = uses.max(policy.recall(self.hash.of(&write.id)));
            *recalled = uses as u8;
            deeper = *write;
        }
    }

    fn settle_result(&mut self, put: &mut Put<'_>, result: KeyResult) {
        match result {
            KeyResult::Busy => self.counters.busy += 1,
            KeyResult::Refused(_) => self.counters.refused += 1,
            KeyResult::Write { slot, .. } => {
                if let Some(own) = &mut put.own_slots {
                    own.insert(slot);
                }
            }
            KeyResult::Present | KeyResult::Duplicate => {}
        }
        put.results.push(result);
    }

    fn fill(&mut self, put: &mut Put<'_>, result: KeyResult) {
        while put.results.len() < put.writes.len() {
            self.settle_result(put, result);
        }
    }

    /// The handle of the put's space, made known if need be.
    fn space_for(&mut self, spec: &SpaceSpec) -> Result<SpaceHandle, RefusedReason> {
        if spec.block_bytes == 0 {
            return Err(RefusedReason::Empty);
        }
        if u64::from(spec.block_bytes) > self.extent_bytes {
            return Err(RefusedReason::TooLarge {
                block_bytes: spec.block_bytes,
                extent_bytes: self.extent_bytes,
            });
        }
        if let Some(handle) = self.spaces.handle(spec.space) {
            let known = self.spaces.get(handle);
            if (known.tenant, known.block_bytes) != (spec.tenant, spec.block_bytes) {
                return Err(RefusedReason::SpaceMismatch {
                    tenant: known.tenant,
                    block_bytes: known.block_bytes,
                });
            }
            self.spaces.renew(handle, spec);
            return Ok(handle);
        }
        let class = self.class_for(spec);
        self.spaces
            .register(spec, class)
            .ok_or(RefusedReason::TooManySpaces)
    }

    fn class_for(&mut self, spec: &SpaceSpec) -> u32 {
        let key = u64::from(spec.tenant) << 32 | u64::from(spec.block_bytes);
        if let Some(&class) = self.class_numbers.get(&key) {
            return class;
        }
        let number = self.vacant_class();
        let class = Class::new(
            number,
            spec.tenant,
            spec.block_bytes,
            &self.extents,
            self.extent_bytes,
            &self.eviction,
            self.engine_time,
        );
        match self.classes.get_mut(number as usize) {
            Some(vacant) => *vacant = class,
            None => self.classes.push(class),
        }
        self.class_numbers.insert(key, number);
        number
    }

    /// Number for a new class: that of one without extents once there are many, so that tenants
    /// that come and go leave nothing behind.
    fn vacant_class(&mut self) -> u32 {
        let count = self.classes.len();
        let is_empty = |class: &Class| class.extents.is_empty();
        let vacant = (count >= CLASSES_KEPT)
            .then(|| self.classes.iter().position(is_empty))
            .flatten();
        let Some(index) = vacant else {
            return count as u32;
        };
        let number = index as u32;
        self.spaces.forget_class(number);
        self.class_numbers.retain(|_, &mut class| class != number);
        number
    }

    fn reserve_one(
        &mut self,
        put: &mut Put<'_>,
        handle: SpaceHandle,
        index: usize,
    ) -> Result<KeyResult, Step> {
        let write = put.writes[index];
        if let Some(slot) = self.find(handle, &write.id) {
            let record = self.extents.record(slot);
            if record.state() == SlotState::Writing {
                let own = record.write_id == put.write_id && put.owns(slot);
                return Ok(if own {
                    KeyResult::Duplicate
                } else {
                    KeyResult::Busy
                });
            }
            if self.is_live(record, put.now) {
                self.touch(slot);
                return Ok(KeyResult::Present);
            }
            self.counters.expired += 1;
            self.unlink(slot);
        }
        let class = self.spaces.get(handle).class;
        match self.place(class, put) {
            Placed::Slot(slot) => Ok(self.begin_write(put, handle, index, slot)),
            Placed::Busy => Ok(KeyResult::Busy),
            Placed::Refused(reason) => Ok(KeyResult::Refused(reason)),
            Placed::Again => Err(Step::Again),
            Placed::Move(extent) => Err(Step::Move(extent)),
        }
    }

    /// Makes a free slot stand for the block being written.
    fn begin_write(
        &mut self,
        put: &Put<'_>,
        handle: SpaceHandle,
        index: usize,
        slot: Slot,
    ) -> KeyResult {
        let write = put.writes[index];
        let hash = self.hash.of(&write.id);
        let space = self.spaces.get_mut(handle);
        space.records += 1;
        let birth = space.birth(put.age_ms, put.now);
        let (block_bytes, class) = (space.block_bytes, space.class);
        let class = &mut self.classes[class as usize];
        let word = class.admit(Admission {
            hash,
            recalled: u32::from(put.recalled[index]),
            position: write.position,
            deepest: write.position == put.deepest,
        });
        class.used += 1;
        self.engine_time += class.slot_bytes;
        self.tenants.account(class.tenant).used_bytes += class.slot_bytes;
        let record = Record::writing(write.id, handle, put.write_id, word, birth);
        *self.extents.record_mut(slot) = if put.copies { record.copying() } else { record };
        let hashes = super::RecordHashes(&self.extents, self.hash);
        if !self.table.insert(hash, slot, &hashes) {
            self.free(slot);
            return KeyResult::Busy;
        }
        self.extents.owner_mut(slot).held += 1;
        self.counters.blocks_in_flight += 1;
        KeyResult::Write {
            slot,
            location: self.location(slot, block_bytes),
        }
    }

    /// Begins to fetch what ending a write will touch.
    pub(crate) fn prefetch_slot(&self, slot: Slot) {
        prefetch(self.extents.record_address(slot));
    }

    /// Makes a written block visible; false when it was dropped meanwhile.
    pub(crate) fn commit(&mut self, slot: Slot, crc: u32) -> bool {
        let record = self.extents.record(slot);
        let dropped = self.spaces.get(record.space()).dropped;
        if dropped || record.state() == SlotState::Doomed {
            self.end_write(slot);
            return false;
        }
        self.counters.blocks_in_flight -= 1;
        self.counters.blocks += 1;
        self.counters.stored += 1;
        self.extents.owner_mut(slot).held -= 1;
        let record = self.extents.record_mut(slot);
        record.crc = crc;
        record.set_state(SlotState::Committed);
        true
    }

    /// Gives up a write.
    pub(crate) fn abort(&mut self, slot: Slot) {
        self.counters.aborted += 1;
        self.end_write(slot);
    }

    fn end_write(&mut self, slot: Slot) {
        self.counters.blocks_in_flight -= 1;
        let record = self.extents.record(slot);
        if record.state() == SlotState::Writing {
            self.table.remove(self.hash.of(&record.id), slot);
        }
        let number = self.extents.extent_of(slot);
        self.extents.extent_mut(number).held -= 1;
        self.free(slot);
        self.release_if_empty(number);
    }

    /// Whether a committed block is still the one that a put wrote; drops it if so.
    pub(crate) fn drop_corrupt(&mut self, space: u32, id: &BlockId, write_id: u32) -> bool {
        let slot = self
            .spaces
            .handle(space)
            .and_then(|handle| self.find(handle, id));
        let Some(slot) = slot else {
            return false;
        };
        let record = self.extents.record(slot);
        if !record.is_visible() || record.write_id != write_id {
            return false;
        }
        self.counters.corrupt += 1;
        self.discard(slot);
        true
    }
}
