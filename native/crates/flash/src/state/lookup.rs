use std::collections::HashSet;

use holdfast_engine::{BlockId, Millis};
use holdfast_index::Slot;

use super::{DeleteEnd, End, Pending, State, Target, of_kind};
use crate::index::SpaceHandle;
use crate::layout::{Entry, FLAG_TOMBSTONE};
use crate::types::{DeleteDone, Location};
use crate::verify::Owned;

impl State {
    /// Replaces `out` by the location of each block that can be read.
    pub(crate) fn lookup(
        &mut self,
        space: u32,
        ids: &[BlockId],
        now: Millis,
        touch: bool,
        out: &mut Vec<Option<Location>>,
    ) {
        self.note(now);
        out.clear();
        out.resize(ids.len(), None);
        if let Some(handle) = self.index.spaces().handle(space) {
            self.locate_all(handle, ids, out);
        }
        let found = out.iter().flatten().count() as u64;
        self.counters.hits += found;
        self.counters.misses += ids.len() as u64 - found;
        if !touch {
            return;
        }
        let tick = self.tick();
        for location in out.iter().flatten() {
            self.index.touch(location.slot, tick);
        }
        if self.admission.is_limited() {
            for (id, _) in ids.iter().zip(out).filter(|(_, found)| found.is_none()) {
                let hash = self.index.hash_of(id);
                self.admission.saw(hash);
            }
        }
    }

    fn locate_all(&mut self, space: SpaceHandle, ids: &[BlockId], out: &mut [Option<Location>]) {
        let mut over: Vec<Slot> = Vec::new();
        let (now, segments, geometry) = (self.now, &self.segments, self.geometry);
        let known = *self.index.spaces().get(space);
        self.index.find_all(space, ids, |index, number, slot| {
            let Some(slot) = slot else { return };
            let record = index.record(slot);
            let Some(page) = record.place.page() else {
                return;
            };
            if known.is_expired(record.place.birth(), now) {
                over.push(slot);
                return;
            }
            out[number] = Some(Location {
                id: record.id,
                payload_bytes: known.block_bytes,
                crc: record.crc,
                write_id: record.write_id,
                page,
                sequence: segments.get(geometry.split(page).0).sequence,
                slot,
            });
        });
        over.sort_unstable();
        over.dedup();
        for slot in over {
            self.counters.expired += 1;
            self.forget(slot);
        }
    }

    /// Drops blocks and queues their tombstones; for each id whether it was there. `done` is told
    /// when all tombstones are on stable storage, and then even ids that are not there have one; it
    /// is given back when nothing of the space was ever here.
    pub(crate) fn delete(
        &mut self,
        space: u32,
        ids: &[BlockId],
        out: &mut [bool],
        mut done: Option<DeleteDone>,
    ) -> Option<DeleteDone> {
        out.fill(false);
        let Some(handle) = self.index.spaces().handle(space) else {
            return done;
        };
        let durable = done.is_some();
        let mut tombstones: Vec<Entry> = Vec::new();
        for (id, there) in ids.iter().zip(out) {
            if let Some(entry) = self.delete_one(handle, id, durable, there) {
                tombstones.push(entry);
            }
        }
        let kind = self.index.spaces().get(handle).kind;
        let count = tombstones.len();
        let all = done
            .take_if(|_| count > 0)
            .map(|done| DeleteEnd::new(count, done));
        for entry in tombstones {
            let end = all.clone().map_or(End::Nobody, End::Delete);
            self.queues[of_kind(kind)].items.push_back(Pending {
                entry,
                payload: None,
                target: Target::Tombstone,
                wants_sync: durable,
                end,
            });
        }
        done
    }

    fn delete_one(
        &mut self,
        space: SpaceHandle,
        id: &BlockId,
        durable: bool,
        there: &mut bool,
    ) -> Option<Entry> {
        let slot = self.index.find(space, id);
        match slot {
            Some(slot) if self.index.record(slot).place.page().is_some() => {
                *there = !self.is_over(self.index.record(slot));
                self.forget(slot);
                self.counters.deleted += 1;
            }
            Some(slot) => self.index.doom(slot),
            // It may lie in a segment that was reused but not overwritten yet, or the tombstone of
            // an earlier delete may still be on its way.
            None if durable => {}
            None => return None,
        }
        let known = self.index.spaces().get(space);
        Some(Entry {
            id: *id,
            tenant: known.tenant,
            space: known.number,
            payload_bytes: 0,
            crc: 0,
            write_id: 0,
            position: 0,
            page: 0,
            birth_s: (self.now / 1000) as u32,
            ttl_s: known.ttl_s,
            priority: known.priority,
            flags: FLAG_TOMBSTONE,
        })
    }

    /// Looks at so many slots from `from` on and forgets blocks whose time is over or whose space
    /// was dropped. Returns where to go on; 0 after the last.
    pub(crate) fn sweep(&mut self, now: Millis, from: u32, slots: u32) -> u32 {
        self.note(now);
        let used = self.index.slots_used();
        let end = from.saturating_add(slots).min(used);
        for slot in from..end {
            let record = *self.index.record(slot);
            let stored = record.place.space() != 0 && record.place.page().is_some();
            if stored && self.is_over(&record) {
                self.counters.expired += 1;
                self.forget(slot);
            }
        }
        if end >= used { 0 } else { end }
    }

    /// The block in a slot, if there is one that can be read.
    pub(crate) fn locate_slot(&self, slot: Slot) -> Option<Owned> {
        let record = self.index.record(slot);
        if record.place.space() == 0 || self.is_over(record) {
            return None;
        }
        let page = record.place.page()?;
        let space = self.index.space_of(record);
        Some(Owned {
            location: Location {
                id: record.id,
                payload_bytes: space.block_bytes,
                crc: record.crc,
                write_id: record.write_id,
                page,
                sequence: self.segments.get(self.geometry.split(page).0).sequence,
                slot,
            },
            tenant: space.tenant,
            space: space.number,
        })
    }

    /// Drops every space but these: after a restart, those that the cluster still knows.
    pub(crate) fn keep_spaces(&mut self, alive: &[u32]) {
        let alive: HashSet<u32> = alive.iter().copied().collect();
        for number in self.index.spaces().numbers() {
            if !alive.contains(&number) {
                self.index.spaces_mut().drop_space(number);
            }
        }
    }
}
