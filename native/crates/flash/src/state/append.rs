use holdfast_engine::{Millis, PutKey, SpaceSpec};
use holdfast_index::Slot;

use super::{End, Health, Payload, Pending, State, Target, of_kind};
use crate::failures::AppendRefused;
use crate::index::SpaceConflict;
use crate::layout::{Entry, FLAG_DEEPEST, FLAG_DURABLE, PAGE_BYTES, SegmentKind, pages_of};
use crate::types::{Append, AppendDone, Appended, Durability};

/// What became of the attempt to reserve a record.
pub(crate) enum Reserved {
    /// A record for the block, which cannot be read yet.
    Slot(Slot),
    /// As [`Appended`] has them.
    Present,
    Busy,
    Refused(AppendRefused),
}

/// A block that gets its first place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewBlock {
    pub(crate) key: PutKey,
    pub(crate) durability: Durability,
    /// It has the largest position of its put.
    pub(crate) deepest: bool,
}

/// The kind of segment for blocks of this durability.
pub(crate) fn kind_of(durability: Durability) -> SegmentKind {
    match durability {
        Durability::Cache => SegmentKind::Cache,
        Durability::Durable => SegmentKind::Durable,
    }
}

impl State {
    /// Takes a block into the queue, or tells why not. `deepest` says that it has the largest
    /// position of its put.
    pub(crate) fn append(
        &mut self,
        spec: &SpaceSpec,
        durability: Durability,
        append: Append,
        deepest: bool,
        done: &AppendDone,
    ) -> Appended {
        let found = append.block.as_slice().len() as u64;
        if found != u64::from(spec.block_bytes) {
            let expected = spec.block_bytes;
            return self.refused(AppendRefused::Size { found, expected });
        }
        if let Err(reason) = self.has_room(spec.block_bytes, durability) {
            return self.refused(reason);
        }
        let slot = match self.reserve(spec, durability, append.key.id, self.now) {
            Reserved::Slot(slot) => slot,
            Reserved::Present => return Appended::Present,
            Reserved::Busy => return Appended::Busy,
            Reserved::Refused(reason) => return self.refused(reason),
        };
        if durability == Durability::Cache
            && let Err(reason) = self.is_worth_writing(slot, deepest)
        {
            self.index.abort(slot);
            return self.refused(reason);
        }
        let end = End::Append(append.tag, done.clone());
        let payload = Payload::Caller(append.block);
        let new = NewBlock {
            key: append.key,
            durability,
            deepest,
        };
        self.enqueue(spec, new, slot, payload, end);
        Appended::Queued
    }

    /// Whether a cache block that has a record now is worth its write.
    fn is_worth_writing(&mut self, slot: Slot, deepest: bool) -> Result<(), AppendRefused> {
        let record = *self.index.record(slot);
        let hash = self.index.hash_of(&record.id);
        let space = self.index.space_of(&record);
        let bytes = u64::from(space.block_bytes);
        if deepest && !space.fates.wants_deepest(hash) {
            return Err(AppendRefused::NeverUsed);
        }
        if !self.admission.admit(hash, bytes, self.now) {
            return Err(AppendRefused::NotAdmitted);
        }
        Ok(())
    }

    /// Counts a refusal.
    pub(crate) fn refused(&mut self, reason: AppendRefused) -> Appended {
        let counter = match reason {
            AppendRefused::QueueFull { .. } => &mut self.counters.refused_queue,
            AppendRefused::NotAdmitted => &mut self.counters.refused_admission,
            AppendRefused::NeverUsed => &mut self.counters.refused_deepest,
            AppendRefused::DurableFull { .. } => &mut self.counters.refused_durable,
            _ => &mut self.counters.refused_other,
        };
        *counter += 1;
        Appended::Refused(reason)
    }

    /// Whether a block of this size may be queued at all.
    pub(crate) fn has_room(
        &self,
        block_bytes: u32,
        durability: Durability,
    ) -> Result<(), AppendRefused> {
        if block_bytes == 0 {
            return Err(AppendRefused::Empty);
        }
        let block_bytes_max = self.config.block_bytes_max();
        if block_bytes > block_bytes_max {
            return Err(AppendRefused::TooLarge {
                block_bytes,
                block_bytes_max,
            });
        }
        if self.stopping {
            return Err(AppendRefused::Stopped);
        }
        if self.health == Health::Failed {
            return Err(AppendRefused::Failed);
        }
        let queued_bytes = self.queued_bytes;
        let bytes_max = self.config.write_queue_bytes_max;
        if queued_bytes + u64::from(block_bytes) > bytes_max.max(block_bytes.into()) {
            return Err(AppendRefused::QueueFull {
                queued_bytes,
                bytes_max,
            });
        }
        let used = self.segments.live_pages(SegmentKind::Durable) + self.durable_queued_pages;
        let limit = self.durable_pages_max();
        let needed = u64::from(pages_of(block_bytes.into()));
        if durability == Durability::Durable && used + needed > limit {
            return Err(AppendRefused::DurableFull {
                used_bytes: used * PAGE_BYTES as u64,
                limit_bytes: limit * PAGE_BYTES as u64,
            });
        }
        Ok(())
    }

    /// A record for a block, unless there is one.
    pub(crate) fn reserve(
        &mut self,
        spec: &SpaceSpec,
        durability: Durability,
        id: [u8; 16],
        born: Millis,
    ) -> Reserved {
        let space = match self.index.admit_space(spec, kind_of(durability)) {
            Ok(space) => space,
            Err(conflict) => return Reserved::Refused(refusal(conflict)),
        };
        if let Some(slot) = self.index.find(space, &id) {
            let record = *self.index.record(slot);
            if record.place.page().is_none() {
                return Reserved::Busy;
            }
            if !self.is_over(&record) {
                // Whoever writes a block again has just used it.
                let tick = self.tick();
                self.index.touch(slot, tick);
                return Reserved::Present;
            }
            self.counters.expired += 1;
            self.forget(slot);
        }
        let tick = self.tick();
        let begun = self.index.begin(space, id, born, self.now, tick);
        begun.map_or_else(
            || {
                Reserved::Refused(AppendRefused::IndexFull {
                    blocks_max: self.config.blocks_max,
                })
            },
            Reserved::Slot,
        )
    }

    /// Puts a block with a record into the queue.
    pub(crate) fn enqueue(
        &mut self,
        spec: &SpaceSpec,
        new: NewBlock,
        slot: Slot,
        payload: Payload,
        end: End,
    ) {
        let (crc, write_id) = match &payload {
            Payload::Caller(block) => (block.crc(), block.write_id()),
            Payload::Moved(_) => (0, 0),
        };
        self.index.describe(slot, crc, write_id);
        let NewBlock {
            key,
            durability,
            deepest,
        } = new;
        let durable = durability == Durability::Durable;
        let durable_flag = if durable { FLAG_DURABLE } else { 0 };
        let deepest_flag = if deepest { FLAG_DEEPEST } else { 0 };
        let entry = Entry {
            id: key.id,
            tenant: spec.tenant,
            space: spec.space,
            payload_bytes: spec.block_bytes,
            crc,
            write_id,
            position: key.position,
            page: 0,
            birth_s: (self.now / 1000) as u32,
            ttl_s: spec.ttl_s,
            priority: spec.priority,
            flags: durable_flag | deepest_flag,
        };
        self.queued_bytes += u64::from(spec.block_bytes);
        if durable {
            self.durable_queued_pages += u64::from(entry.payload_pages());
        }
        let queue = &mut self.queues[of_kind(kind_of(durability))];
        queue.items.push_back(Pending {
            entry,
            payload: Some(payload),
            target: Target::Block(slot),
            wants_sync: durable,
            end,
        });
    }
}

fn refusal(conflict: SpaceConflict) -> AppendRefused {
    match conflict {
        SpaceConflict::Mismatch {
            tenant,
            block_bytes,
        } => AppendRefused::SpaceMismatch {
            tenant,
            block_bytes,
        },
        SpaceConflict::Kind => AppendRefused::SpaceDurability,
        SpaceConflict::TooMany => AppendRefused::TooManySpaces,
    }
}
