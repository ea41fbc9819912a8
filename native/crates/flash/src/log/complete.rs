use std::io;
use std::sync::Arc;

use super::flights::Flight;
use super::writer::{BatchStage, Stage};
use super::{Log, WRITE_ERRORS_MAX};
use crate::disk::Completion;
use crate::failures::AppendFailure;
use crate::state::{Health, SegmentState, State};

fn failure_of(error: &io::Error) -> AppendFailure {
    AppendFailure::Write {
        errno: error.raw_os_error().unwrap_or(libc::EIO),
    }
}

impl Log {
    /// Ends one operation.
    pub(super) fn complete(&mut self, completion: Completion) {
        let Some(flight) = self.flights.take(completion.token) else {
            return;
        };
        let result = completion.result;
        let shared = Arc::clone(&self.shared);
        match flight {
            Flight::Read { queued, segment } => self.end_read(&shared, queued, segment, &result),
            Flight::Batch { segment, number } => {
                self.end_batch(&mut shared.state.lock(), segment, number, result);
            }
            Flight::Footer { segment, memory } => {
                let mut state = shared.state.lock();
                state.counters.footer_bytes += memory.len() as u64;
                self.count_write(&mut state, &result);
                self.end_footer(&mut state, segment, result.is_ok());
            }
            Flight::Sync { covered, wiped } => {
                self.end_sync(&mut shared.state.lock(), &covered, &wiped, &result);
            }
            Flight::Wipe {
                segment,
                page,
                memory,
            } => {
                drop(memory);
                let mut state = shared.state.lock();
                self.count_write(&mut state, &result);
                self.end_wipe(&mut state, segment, page, result.is_ok());
            }
            Flight::Footing { memory } => {
                self.end_footing(&mut shared.state.lock(), memory, &result);
            }
            Flight::Moving { place, memory } => self.end_moving(&shared, place, memory, &result),
        }
    }

    /// Counts a write that failed; after too many in a row the disk is given up.
    fn count_write(&mut self, state: &mut State, result: &io::Result<()>) {
        if result.is_ok() {
            self.write_errors = 0;
            return;
        }
        state.counters.write_errors += 1;
        self.write_errors += 1;
        if self.write_errors >= WRITE_ERRORS_MAX && state.health == Health::Serving {
            self.fail_store(state);
        }
    }

    /// The write of a batch has ended.
    fn end_batch(&mut self, state: &mut State, segment: u32, number: u32, result: io::Result<()>) {
        self.count_write(state, &result);
        let Some(writer) = self
            .writers
            .iter_mut()
            .find(|writer| writer.segment == segment)
        else {
            return;
        };
        let kind = writer.kind;
        let Some(batch) = writer.batch(number) else {
            return;
        };
        batch.memory = None;
        let mut items = std::mem::take(&mut batch.items);
        for item in &mut items {
            self.let_go.extend(state.release(item, kind));
        }
        let failure = match &result {
            Ok(()) if state.health == Health::Serving => None,
            Ok(()) => Some(AppendFailure::Failed),
            Err(error) => Some(failure_of(error)),
        };
        if let Some(failure) = failure {
            batch.stage = BatchStage::Failed;
            writer.stage = Stage::Broken;
            for item in items {
                self.settle_move(item.target, false);
                state.fail(item, kind, failure, &mut self.ended);
            }
        } else {
            batch.stage = BatchStage::Written;
            let pages: u32 = items.iter().map(|item| item.entry.payload_pages()).sum();
            let tombstones = items.iter().filter(|item| item.entry.is_tombstone());
            let written = state.segments.get_mut(segment);
            written.payload_pages += pages;
            written.tombstones += tombstones.count() as u32;
            let (later, now): (Vec<_>, Vec<_>) =
                items.into_iter().partition(|item| item.wants_sync);
            batch.items = later;
            for item in now {
                self.settle_move(item.target, true);
                state.settle(segment, item, &mut self.ended);
            }
        }
        self.end_broken(state);
    }

    /// Lets go of segments to which a write failed, as far as nothing is under way there.
    pub(super) fn end_broken(&mut self, state: &mut State) {
        let mut at = 0;
        while at < self.writers.len() {
            let Some((items, entries)) = self.writers[at].take_broken() else {
                at += 1;
                continue;
            };
            let writer = self.writers.remove(at);
            for item in items {
                let failure = AppendFailure::Write { errno: libc::EIO };
                self.settle_move(item.target, false);
                state.fail(item, writer.kind, failure, &mut self.ended);
            }
            state.segments.keep_entries(writer.segment, entries);
            state
                .segments
                .set_state(writer.segment, SegmentState::Broken);
        }
    }
}
