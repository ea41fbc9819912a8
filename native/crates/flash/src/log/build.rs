use super::Log;
use super::flights::Flight;
use super::writer::{Stage, Writer};
use crate::disk::{Action, Span};
use crate::failures::AppendFailure;
use crate::layout::{BATCH_ENTRIES_MAX, Entry, PAGE_BYTES, SegmentHead, SegmentKind};
use crate::state::{Pending, Queue, RESERVE_SEGMENTS, SegmentState, State, Target, of_kind};

impl Log {
    /// Makes batches of what waits: as soon as the disk is free, or a batch is full.
    pub(super) fn build(&mut self, state: &mut State, kind: SegmentKind) {
        loop {
            self.discard_dead(state, kind);
            let queue = &state.queues[of_kind(kind)];
            if queue.is_empty() {
                return;
            }
            let flying: usize = self.writers_of(kind).map(Writer::flying).sum();
            let full = queue.payload_bytes() >= u64::from(state.config.batch_bytes_max);
            if flying > 0 && (!full || flying >= state.config.writes_in_flight_max as usize) {
                return;
            }
            if !self.build_one(state, kind) {
                self.refuse_stuck(state, kind);
                return;
            }
        }
    }

    fn writers_of(&self, kind: SegmentKind) -> impl Iterator<Item = &Writer> {
        self.writers
            .iter()
            .filter(move |writer| writer.kind == kind)
    }

    fn open_writer(&self, kind: SegmentKind) -> Option<usize> {
        let open = |writer: &Writer| writer.kind == kind && writer.stage == Stage::Open;
        self.writers.iter().position(open)
    }

    /// Writes one batch; false when there is no room for it.
    fn build_one(&mut self, state: &mut State, kind: SegmentKind) -> bool {
        let Some(at) = self.writer_for_first(state, kind) else {
            return false;
        };
        let items = self.take_items(state, kind, at);
        let payload_bytes = count(state, kind, &items);
        let writer = &mut self.writers[at];
        let (number, pages) = writer.begin(items);
        self.unloaded.push((writer.segment, number));
        if kind == SegmentKind::Cache {
            state.advance_clock(pages);
        }
        state.counters.padding_bytes += u64::from(pages) * PAGE_BYTES as u64 - payload_bytes;
        state.counters.batches += 1;
        true
    }

    /// Puts the memory of new batches together and begins their writes, outside of the lock.
    pub(super) fn load_batches(&mut self) {
        let geometry = self.geometry;
        for (segment, number) in std::mem::take(&mut self.unloaded) {
            let store = self.store;
            let mut writers = self.writers.iter_mut();
            let writer = writers.find(|writer| writer.segment == segment);
            let Some((pieces, page)) = writer.and_then(|writer| writer.load(store, number)) else {
                continue;
            };
            let offset = geometry.offset(segment, page);
            self.fly(
                Flight::Batch { segment, number },
                Action::Write { offset, pieces },
            );
        }
    }

    /// The open segment of a kind, if the next item fits there, or a new one.
    fn writer_for_first(&mut self, state: &mut State, kind: SegmentKind) -> Option<usize> {
        let queue = &state.queues[of_kind(kind)];
        let moving = !queue.moves.is_empty();
        let pages = first(queue)?.entry.payload_pages();
        if let Some(at) = self.open_writer(kind) {
            if self.writers[at].fits(&self.geometry, 1, pages) {
                return Some(at);
            }
            self.writers[at].stage = Stage::Closing;
        }
        // Only what is moved may take the last free segments, and a durable one too many: both
        // are given back when the move is over.
        let durable_full = kind == SegmentKind::Durable
            && state.segments.in_use(kind) >= state.durable_segments_max();
        if durable_full && !moving {
            return None;
        }
        let reserve = if moving { 0 } else { RESERVE_SEGMENTS };
        let segment = state.segments.open(kind, reserve)?;
        let head = SegmentHead {
            store: state.store,
            sequence: state.segments.get(segment).sequence,
            salt: self.next_salt(),
            kind,
            opened_at: state.now / 1000,
        };
        self.writers.push(Writer::new(segment, head));
        Some(self.writers.len() - 1)
    }

    /// A number that no other use of a segment has.
    fn next_salt(&mut self) -> u64 {
        self.salt = self.salt.wrapping_add(1);
        self.salt
    }

    /// Takes as many items as one batch of the segment holds, at least one.
    fn take_items(&mut self, state: &mut State, kind: SegmentKind, at: usize) -> Vec<Pending> {
        let bytes_max = u64::from(state.config.batch_bytes_max);
        let mut items: Vec<Pending> = Vec::new();
        let (mut pages, mut bytes) = (0, 0);
        loop {
            self.discard_dead(state, kind);
            let queue = &mut state.queues[of_kind(kind)];
            let Some(next) = first(queue) else {
                return items;
            };
            let more = next.entry.payload_pages();
            let next_bytes = u64::from(next.entry.payload_bytes);
            let fits = self.writers[at].fits(&self.geometry, items.len() + 1, pages + more);
            let full = items.len() == BATCH_ENTRIES_MAX || bytes + next_bytes > bytes_max;
            if !items.is_empty() && (full || !fits) {
                return items;
            }
            let next = if queue.moves.is_empty() {
                queue.items.pop_front()
            } else {
                queue.moves.pop_front()
            };
            items.extend(next);
            pages += more;
            bytes += next_bytes;
        }
    }

    /// Drops moves at the front that must not be written any more.
    fn discard_dead(&mut self, state: &mut State, kind: SegmentKind) {
        while let Some(next) = state.queues[of_kind(kind)].moves.front() {
            let target = next.target;
            let well = match target {
                // Deleted meanwhile.
                Target::Moved(slot, page) if !state.is_at(slot, page) => true,
                Target::MovedTombstone => match state.find(&next.entry) {
                    // Appended anew: written now, the tombstone would hide that record too.
                    Some(slot) if state.index.record(slot).place.page().is_some() => true,
                    // The same, if that record is on its way before the tombstone.
                    Some(_) if self.is_flying(&next.entry) => false,
                    _ => return,
                },
                _ => return,
            };
            state.queues[of_kind(kind)].moves.pop_front();
            self.settle_move(target, well);
        }
    }

    /// Whether a record of the same block is being written.
    fn is_flying(&self, entry: &Entry) -> bool {
        let same = |item: &Pending| item.entry.id == entry.id && item.entry.space == entry.space;
        let mut batches = self.writers.iter().flat_map(|writer| &writer.batches);
        batches.any(|batch| batch.items.iter().any(same))
    }

    /// When nothing that is under way will make room for what waits, it ends.
    fn refuse_stuck(&mut self, state: &mut State, kind: SegmentKind) {
        let others = self.flights.len() - self.reads_flying as usize;
        if others > 0 || !self.unloaded.is_empty() || !self.wiped.is_empty() {
            return;
        }
        let moves = std::mem::take(&mut state.queues[of_kind(kind)].moves);
        if !moves.is_empty() {
            // Cache blocks that cannot be moved are evicted, which makes room.
            self.cleaning_hopeless |= kind == SegmentKind::Durable;
            for pending in moves {
                self.settle_move(pending.target, false);
            }
            return;
        }
        if self.reclaim.is_none() && !self.may_reclaim(state) {
            state.fail_queued(kind, AppendFailure::NoRoom, &mut self.ended);
        }
    }

    /// Writes the footers of segments whose batches are all on stable storage, outside of the
    /// lock.
    pub(super) fn begin_footers(&mut self, closed_at: u64) {
        let geometry = self.geometry;
        let mut ready = Vec::new();
        for writer in &mut self.writers {
            if writer.is_ready_for_footer() {
                writer.stage = Stage::Footing;
                let (memory, page) = writer.footer(&geometry, closed_at);
                ready.push((writer.segment, memory, page));
            }
        }
        for (segment, memory, page) in ready {
            let pieces = vec![Span::of(&memory)];
            let offset = geometry.offset(segment, page);
            self.fly(
                Flight::Footer { segment, memory },
                Action::Write { offset, pieces },
            );
        }
    }

    /// A segment's footer was written, or was not.
    pub(super) fn end_footer(&mut self, state: &mut State, segment: u32, written: bool) {
        let Some(at) = self
            .writers
            .iter()
            .position(|writer| writer.segment == segment)
        else {
            return;
        };
        let writer = self.writers.remove(at);
        if written {
            state.segments.set_state(segment, SegmentState::Closed);
        } else {
            state.segments.keep_entries(segment, writer.into_entries());
            state.segments.set_state(segment, SegmentState::Broken);
        }
    }
}

/// What is written next.
fn first(queue: &Queue) -> Option<&Pending> {
    queue.moves.front().or_else(|| queue.items.front())
}

/// Counts what a batch carries; its payload, bytes.
fn count(state: &mut State, kind: SegmentKind, items: &[Pending]) -> u64 {
    let mut payload_bytes = 0;
    for item in items {
        let bytes = u64::from(item.entry.payload_bytes);
        payload_bytes += bytes;
        match item.target {
            Target::Block(_) => {
                state.counters.admitted += 1;
                state.counters.admitted_bytes += bytes;
            }
            Target::Moved(..) => {
                state.counters.reinserted += 1;
                state.counters.reinserted_bytes += bytes;
                if kind == SegmentKind::Cache {
                    state.admission.charge(bytes);
                }
            }
            Target::Tombstone | Target::MovedTombstone => state.counters.tombstones += 1,
        }
    }
    payload_bytes
}
