use std::io;

use super::Log;
use super::flights::Flight;
use super::writer::{BatchStage, Stage};
use crate::disk::Action;
use crate::failures::AppendFailure;
use crate::state::{Health, State};

impl Log {
    /// Begins a sync when something waits for one: it covers all batches that are written by now.
    pub(super) fn begin_sync(&mut self, state: &mut State) {
        let wanted =
            !self.wiped.is_empty() || self.writers.iter().any(|writer| writer.wants_sync());
        if self.sync_flying || !wanted {
            return;
        }
        let covered = self
            .writers
            .iter()
            .map(|writer| (writer.segment, writer.coverable()))
            .collect();
        let wiped = std::mem::take(&mut self.wiped);
        state.counters.syncs += 1;
        self.sync_flying = true;
        self.fly(Flight::Sync { covered, wiped }, Action::Sync);
    }

    /// A sync has ended.
    pub(super) fn end_sync(
        &mut self,
        state: &mut State,
        covered: &[(u32, u32)],
        wiped: &[u32],
        result: &io::Result<()>,
    ) {
        self.sync_flying = false;
        if result.is_err() {
            state.counters.sync_errors += 1;
            self.fail_store(state);
            return;
        }
        for &segment in wiped {
            state.segments.free(segment);
            state.counters.reclaimed += 1;
            self.cleaning_hopeless = false;
        }
        for &(segment, covered) in covered {
            let Some(writer) = self
                .writers
                .iter_mut()
                .find(|writer| writer.segment == segment)
            else {
                continue;
            };
            for item in writer.synced(covered) {
                state.counters.synced += 1;
                self.settle_move(item.target, true);
                state.settle(segment, item, &mut self.ended);
            }
        }
        self.end_broken(state);
    }

    /// The disk is not trusted any more: nothing is acknowledged, nothing is written.
    pub(super) fn fail_store(&mut self, state: &mut State) {
        state.health = Health::Failed;
        self.fail_writers(state);
        self.reclaim = None;
        self.wiped.clear();
        self.end_broken(state);
    }

    /// Ends everything that is being written without knowing what became of it. Memory that the
    /// disk still uses is kept.
    pub(super) fn fail_writers(&mut self, state: &mut State) {
        for writer in &mut self.writers {
            let kind = writer.kind;
            writer.stage = Stage::Broken;
            for batch in &mut writer.batches {
                if batch.stage == BatchStage::Flying {
                    continue;
                }
                for item in batch.items.drain(..) {
                    state.fail(item, kind, AppendFailure::Failed, &mut self.ended);
                }
            }
        }
    }
}
