use std::io;
use std::sync::Arc;

use holdfast_index::Slot;
use holdfast_wire::checksum::crc32c;

use super::flights::Flight;
use super::{Log, Shared};
use crate::PageMemory;
use crate::disk::{Action, Span};
use crate::layout::{Entry, FLAG_REINSERTED, FooterTail, PAGE_BYTES, SegmentKind, decode_footer};
use crate::state::{End, Fate, Health, Payload, Pending, SegmentState, State, Target, of_kind};

/// Pages of the first read of a footer.
pub(crate) const FOOTER_READ_PAGES: u32 = 8;
/// Free segments below which one is reclaimed.
const FREE_SEGMENTS_TARGET: u32 = 2;
/// Payload that is moved at a time, bytes.
const GROUP_BYTES_MAX: u64 = 8 << 20;
/// Records that are looked at for one group.
const GROUP_ENTRIES_MAX: usize = 1024;
/// Most of the cache blocks' payload that is written anew, percent: reclaim must gain something.
const MOVED_PERCENT_MAX: u64 = 75;
/// Segments' worth of that which one segment after another may save up: a single one may be moved
/// whole, so that a prefix is not torn for the sake of the limit.
const MOVES_SAVED_SEGMENTS: u64 = 16;
/// Part of a durable segment that must be dead before it is cleaned ahead of need, percent.
const DEAD_PERCENT_AHEAD: u32 = 25;

/// A segment whose live blocks are moved out of it. One at a time, so that the reserve suffices.
pub(super) struct Reclaim {
    segment: u32,
    phase: Phase,
    /// Whether it has no footer.
    broken: bool,
    entries: Vec<Entry>,
    next: usize,
    group: Vec<Moving>,
    /// Reads of the group that are under way.
    reading: usize,
    /// Moves that are queued or being written.
    outstanding: usize,
    /// A block could not be moved.
    failed: bool,
    /// A tombstone could not.
    failed_tombstone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Footing,
    Moving,
    Draining,
}

struct Moving {
    entry: Entry,
    slot: Option<Slot>,
    memory: Option<PageMemory>,
}

impl Reclaim {
    /// Something that was moved has ended.
    fn settled(&mut self, target: Target, well: bool) {
        match target {
            Target::Moved(..) => self.failed |= !well,
            Target::MovedTombstone => self.failed_tombstone |= !well,
            Target::Block(_) | Target::Tombstone => return,
        }
        self.outstanding -= 1;
    }
}

impl Log {
    /// Something that may have been moved has ended.
    pub(super) fn settle_move(&mut self, target: Target, well: bool) {
        if let Some(reclaim) = &mut self.reclaim {
            reclaim.settled(target, well);
        }
    }

    /// Goes on with the segment that is reclaimed, or chooses one when free ones run short.
    pub(super) fn step_reclaim(&mut self, state: &mut State) {
        if self.reclaim.is_none()
            && !state.stopping
            && let Some(segment) = self.choose(state)
        {
            self.start(state, segment);
        }
        while self.step(state) {}
    }

    /// Whether a segment could be reclaimed for what waits.
    pub(super) fn may_reclaim(&self, state: &State) -> bool {
        !state.stopping && self.choose(state).is_some()
    }

    fn choose(&self, state: &State) -> Option<u32> {
        let segments = &state.segments;
        let waiting = !state.queues[of_kind(SegmentKind::Durable)].is_empty();
        let short = segments.free_count() + (self.wiped.len() as u32) < FREE_SEGMENTS_TARGET;
        if (short || state.index.is_short())
            && let Some(oldest) = segments.oldest_cache()
        {
            return Some(oldest);
        }
        let in_use = segments.in_use(SegmentKind::Durable);
        let full = in_use > 0 && in_use + 1 >= state.durable_segments_max();
        if (short || full) && self.cleaning_hopeless {
            return segments.dead_durable();
        }
        if short || full {
            return segments.emptiest_durable(if waiting { 1 } else { DEAD_PERCENT_AHEAD });
        }
        None
    }

    fn start(&mut self, state: &mut State, segment: u32) {
        let entries = state.segments.take_entries(segment);
        let earned = u64::from(state.segments.get(segment).payload_pages) * MOVED_PERCENT_MAX / 100;
        let saved_max = u64::from(self.geometry.segment_pages()) * MOVES_SAVED_SEGMENTS;
        self.moves_saved_pages = (self.moves_saved_pages + earned).min(saved_max);
        state.segments.set_state(segment, SegmentState::Reclaiming);
        let broken = entries.is_some();
        self.reclaim = Some(Reclaim {
            segment,
            phase: if broken {
                Phase::Moving
            } else {
                Phase::Footing
            },
            broken,
            entries: entries.unwrap_or_default(),
            next: 0,
            group: Vec::new(),
            reading: 0,
            outstanding: 0,
            failed: false,
            failed_tombstone: false,
        });
        if !broken {
            self.read_footer(segment, FOOTER_READ_PAGES);
        }
    }

    fn read_footer(&mut self, segment: u32, pages: u32) {
        let mut memory = PageMemory::new(pages as usize * PAGE_BYTES);
        let into = Span::of_mut(&mut memory);
        let page = self.geometry.segment_pages() - pages;
        let offset = self.geometry.offset(segment, page);
        self.fly(Flight::Footing { memory }, Action::Read { offset, into });
    }

    /// A footer was read, or its first part.
    pub(super) fn end_footing(
        &mut self,
        state: &mut State,
        memory: PageMemory,
        result: &io::Result<()>,
    ) {
        let Some(reclaim) = &mut self.reclaim else {
            return;
        };
        let segment = reclaim.segment;
        let sequence = state.segments.get(segment).sequence;
        let tail = FooterTail::decode(&memory, &self.geometry)
            .ok()
            .filter(|tail| {
                result.is_ok() && tail.sequence == sequence && tail.store == state.store
            });
        let pages = (memory.len() / PAGE_BYTES) as u32;
        if let Some(tail) = tail
            && tail.pages() > pages
        {
            self.read_footer(segment, tail.pages());
            return;
        }
        let entries = tail.and_then(|tail| decode_footer(&tail, &memory, &self.geometry).ok());
        if let Some(entries) = entries {
            reclaim.entries = entries;
            reclaim.phase = Phase::Moving;
        } else {
            state.counters.read_errors += 1;
            self.without_footer(state, segment);
        }
    }

    /// Nobody knows what lies in a segment: cache blocks are given up, durable ones stay.
    fn without_footer(&mut self, state: &mut State, segment: u32) {
        if state.segments.get(segment).kind == SegmentKind::Durable {
            state.segments.set_state(segment, SegmentState::Broken);
            self.reclaim = None;
            return;
        }
        state.forget_segment(segment, false);
        if let Some(reclaim) = &mut self.reclaim {
            reclaim.phase = Phase::Moving;
        }
    }

    /// One step; whether there may be another at once.
    fn step(&mut self, state: &mut State) -> bool {
        let Some(reclaim) = &mut self.reclaim else {
            return false;
        };
        if reclaim.phase == Phase::Footing || reclaim.reading > 0 || reclaim.outstanding > 0 {
            return false;
        }
        let durable = state.segments.get(reclaim.segment).kind == SegmentKind::Durable;
        match reclaim.phase {
            Phase::Moving if reclaim.failed && durable => {
                self.stand_back(state);
                false
            }
            Phase::Moving if reclaim.next == reclaim.entries.len() => {
                reclaim.phase = Phase::Draining;
                true
            }
            Phase::Moving => {
                self.begin_group(state);
                true
            }
            Phase::Draining | Phase::Footing => {
                self.drain(state);
                false
            }
        }
    }

    /// Leaves the segment as it is, to be tried again.
    fn stand_back(&mut self, state: &mut State) {
        if let Some(reclaim) = self.reclaim.take() {
            let back = if reclaim.broken {
                state
                    .segments
                    .keep_entries(reclaim.segment, reclaim.entries);
                SegmentState::Broken
            } else {
                SegmentState::Closed
            };
            state.segments.set_state(reclaim.segment, back);
        }
    }

    /// Decides about the next records and begins to read those that are moved.
    fn begin_group(&mut self, state: &mut State) {
        let Some(reclaim) = &mut self.reclaim else {
            return;
        };
        let segment = reclaim.segment;
        let end = reclaim.entries.len().min(reclaim.next + GROUP_ENTRIES_MAX);
        let mut bytes = 0;
        while reclaim.next < end && bytes < GROUP_BYTES_MAX {
            let entry = reclaim.entries[reclaim.next];
            let pages = u64::from(entry.payload_pages());
            let may_move = self.moves_saved_pages >= pages;
            let slot = match state.fate(segment, &entry, may_move) {
                Fate::Gone => {
                    reclaim.next += 1;
                    continue;
                }
                Fate::MoveTombstone => None,
                Fate::Move(slot) => Some(slot),
            };
            reclaim.next += 1;
            self.moves_saved_pages = self.moves_saved_pages.saturating_sub(pages);
            bytes += pages * PAGE_BYTES as u64;
            reclaim.group.push(Moving {
                entry,
                slot,
                memory: None,
            });
        }
        self.read_group();
        self.move_group(state);
    }

    fn read_group(&mut self) {
        let Some(reclaim) = &mut self.reclaim else {
            return;
        };
        let segment = reclaim.segment;
        let reads: Vec<(usize, Entry)> = reclaim
            .group
            .iter()
            .enumerate()
            .filter(|(_, moving)| moving.slot.is_some())
            .map(|(place, moving)| (place, moving.entry))
            .collect();
        reclaim.reading = reads.len();
        for (place, entry) in reads {
            let mut memory = PageMemory::new(entry.payload_bytes as usize);
            let into = Span::of_mut(&mut memory);
            let offset = self.geometry.offset(segment, entry.page);
            self.fly(
                Flight::Moving { place, memory },
                Action::Read { offset, into },
            );
        }
    }

    /// A block that is moved was read, or was not. It is summed outside of the lock.
    pub(super) fn end_moving(
        &mut self,
        shared: &Arc<Shared>,
        place: usize,
        memory: PageMemory,
        result: &io::Result<()>,
    ) {
        let geometry = self.geometry;
        let Some(reclaim) = &mut self.reclaim else {
            return;
        };
        reclaim.reading -= 1;
        let moving = &mut reclaim.group[place];
        let bytes = &memory[..moving.entry.payload_bytes as usize];
        let well = result.is_ok() && crc32c(bytes) == moving.entry.crc;
        let mut state = shared.state.lock();
        if well {
            moving.memory = Some(memory);
        } else {
            let counter = match result {
                Ok(()) => &mut state.counters.corrupt,
                Err(_) => &mut state.counters.read_errors,
            };
            *counter += 1;
            let page = geometry.page(reclaim.segment, moving.entry.page);
            if let Some(slot) = moving.slot.take() {
                state.forget_at(slot, page);
            }
        }
        self.move_group(&mut state);
    }

    /// Queues what was read to be written, once all of the group was read.
    fn move_group(&mut self, state: &mut State) {
        let Some(reclaim) = &mut self.reclaim else {
            return;
        };
        if reclaim.reading > 0 {
            return;
        }
        let segment = reclaim.segment;
        let kind = state.segments.get(segment).kind;
        for moving in reclaim.group.drain(..) {
            let mut entry = moving.entry;
            let from = self.geometry.page(segment, entry.page);
            entry.flags |= FLAG_REINSERTED;
            let (target, payload) = match (moving.slot, moving.memory) {
                (Some(slot), Some(memory)) => {
                    (Target::Moved(slot, from), Some(Payload::Moved(memory)))
                }
                _ if entry.is_tombstone() => (Target::MovedTombstone, None),
                _ => continue,
            };
            reclaim.outstanding += 1;
            state.queues[of_kind(kind)].moves.push_back(Pending {
                entry,
                payload,
                target,
                // The old record goes when its segment does: the new one must be there by then,
                // unless it may be lost.
                wants_sync: kind == SegmentKind::Durable || target == Target::MovedTombstone,
                end: End::Nobody,
            });
        }
    }

    /// Nothing is left to move: empties the segment once nobody reads it.
    fn drain(&mut self, state: &mut State) {
        let Some(reclaim) = &self.reclaim else {
            return;
        };
        let (segment, broken) = (reclaim.segment, reclaim.broken);
        if state.segments.get(segment).readers > 0 {
            return;
        }
        let durable = state.segments.get(segment).kind == SegmentKind::Durable;
        if state.segments.get(segment).live_pages > 0 {
            // Cache blocks that could not be moved; durable ones only if their time is over.
            state.forget_segment(segment, durable);
        }
        let left = state.segments.get(segment).live_pages > 0;
        if left || reclaim.failed_tombstone {
            // Not to be tried again before something has changed.
            self.cleaning_hopeless |= left && durable;
            self.stand_back(state);
            return;
        }
        self.reclaim = None;
        if broken {
            state.segments.set_state(segment, SegmentState::Retired);
            return;
        }
        state.segments.set_state(segment, SegmentState::Wiping);
        let last = self.geometry.segment_pages() - 1;
        self.wipe(segment, last);
    }

    /// Writes zeros over a page of a segment that is empty.
    fn wipe(&mut self, segment: u32, page: u32) {
        let memory = PageMemory::new(PAGE_BYTES);
        let pieces = vec![Span::of(&memory)];
        let offset = self.geometry.offset(segment, page);
        self.fly(
            Flight::Wipe {
                segment,
                page,
                memory,
            },
            Action::Write { offset, pieces },
        );
    }

    /// A page of an empty segment was zeroed, or was not: first its last page, so that a free
    /// segment whose head rots is not taken for what it was before, then its head.
    pub(super) fn end_wipe(&mut self, state: &mut State, segment: u32, page: u32, well: bool) {
        if state.health == Health::Failed {
            return;
        }
        match (well, page) {
            (false, _) => state.segments.set_state(segment, SegmentState::Retired),
            (true, 0) => self.wiped.push(segment),
            (true, _) => self.wipe(segment, 0),
        }
    }
}
