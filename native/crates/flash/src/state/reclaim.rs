use holdfast_index::Slot;

use super::{State, TICKS_PER_RESIDENCE};
use crate::index::{Record, TOUCHES_MAX};
use crate::layout::{Entry, FLAG_DEEPEST, FLAG_REINSERTED, SegmentKind};

/// Longest time without a use after which any block goes, ticks: the next look at it comes within
/// a residence time, before its time of last use repeats.
const IDLE_TICKS_MAX: f64 = 40.0;
/// What a step of priority is worth, residence times.
const PRIORITY_RESIDENCE: f64 = 0.5;

/// What becomes of a record whose segment is reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing names it any more, or nothing does from now on.
    Gone,
    /// The block of this slot is written anew.
    Move(Slot),
    /// The tombstone is written anew.
    MoveTombstone,
}

impl State {
    /// Decides about a record of a segment that is reused, and forgets the block if it goes.
    pub(crate) fn fate(&mut self, segment: u32, entry: &Entry, may_move: bool) -> Fate {
        if entry.is_tombstone() {
            return self.fate_of_tombstone(segment, entry);
        }
        let Some(slot) = self.live_slot(segment, entry) else {
            return Fate::Gone;
        };
        let record = *self.index.record(slot);
        if self.is_over(&record) {
            self.counters.expired += 1;
            self.forget(slot);
            return Fate::Gone;
        }
        let durable = self.segments.get(segment).kind == SegmentKind::Durable;
        if entry.flags & FLAG_REINSERTED == 0 {
            let deepest = entry.flags & FLAG_DEEPEST != 0;
            let space = self.index.spaces_mut().get_mut(record.place.space());
            space.fates.ended(deepest, record.place.touches() > 0);
        }
        if durable || (may_move && self.is_wanted(&record)) {
            return Fate::Move(slot);
        }
        self.counters.evicted += 1;
        self.forget(slot);
        Fate::Gone
    }

    /// The slot of the block if it lies where the entry says, also when its space was dropped.
    pub(crate) fn live_slot(&self, segment: u32, entry: &Entry) -> Option<Slot> {
        let page = self.geometry.page(segment, entry.page);
        let handles = self.index.spaces().handles_with_dropped(entry.space);
        handles
            .into_iter()
            .flatten()
            .filter_map(|space| self.index.find(space, &entry.id))
            .find(|&slot| self.index.record(slot).place.page() == Some(page))
    }

    /// Forgets every block that lies in a segment, or those whose time is over: a walk over all
    /// records, for what the entries do not tell.
    pub(crate) fn forget_segment(&mut self, segment: u32, only_over: bool) {
        for slot in 0..self.index.slots_used() {
            let record = *self.index.record(slot);
            let page = record.place.page().filter(|_| record.place.space() != 0);
            let there = page.is_some_and(|page| self.geometry.split(page).0 == segment);
            if there && (!only_over || self.is_over(&record)) {
                self.counters.evicted += 1;
                self.forget(slot);
            }
        }
    }

    /// The slot of the block that an entry names, written or being written.
    pub(crate) fn find(&self, entry: &Entry) -> Option<Slot> {
        let space = self.index.spaces().handle(entry.space)?;
        self.index.find(space, &entry.id)
    }

    /// A tombstone stays as long as it may hide something. When the id was appended anew, that
    /// newer record hides as much; the tombstone, written anew, would hide that one too.
    fn fate_of_tombstone(&self, segment: u32, entry: &Entry) -> Fate {
        if !self.segments.has_older(segment) {
            return Fate::Gone;
        }
        match self.find(entry) {
            Some(slot) if self.index.record(slot).place.page().is_some() => Fate::Gone,
            _ => Fate::MoveTombstone,
        }
    }

    /// Whether a cache block was used recently enough, for as often as it was used.
    fn is_wanted(&self, record: &Record) -> bool {
        let config = &self.config.reclaim;
        let priority = f64::from(self.index.space_of(record).priority);
        let touches = f64::from(record.place.touches().min(TOUCHES_MAX));
        let residences = f64::from(config.base_percent) / 100.0
            + f64::from(config.credit_percent) / 100.0 * (1.0 + touches).log2()
            + PRIORITY_RESIDENCE * priority;
        let ticks = (residences * TICKS_PER_RESIDENCE)
            .round()
            .min(IDLE_TICKS_MAX);
        f64::from(record.place.idle_ticks(self.tick())) < ticks
    }
}
