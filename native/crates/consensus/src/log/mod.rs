//! Where one member's log is kept: one seam, two implementations, one conformance suite.

mod engine_log;
mod memory_log;
mod region;

pub use engine_log::{EngineLog, EngineLogConfig};
pub use memory_log::MemoryLog;

use crate::{Compaction, Effects, EntryRecord, HardStateRecord, LogError, Recovered};

/// One member's log. Everything that a synced write returned from is recovered after a crash.
pub trait DurableLog {
    /// What the log holds now.
    ///
    /// # Errors
    /// [`LogError::Corrupt`], [`LogError::Closed`], [`LogError::Io`].
    fn recovered(&self) -> Result<Recovered, LogError>;

    /// Writes a replaced start (dropping every entry), hard state and entries in one batch with at
    /// most one sync. Entries continue the log without a gap; an index that is already there replaces
    /// that entry and all after it.
    ///
    /// # Errors
    /// [`LogError::Misuse`] for entries that do not continue the log; [`LogError::Io`] (nothing of
    /// the batch counts), [`LogError::SyncFailed`], [`LogError::Closed`].
    fn write(
        &self,
        start: Option<&Compaction>,
        hard_state: Option<&HardStateRecord>,
        entries: &[EntryRecord],
        sync: bool,
    ) -> Result<(), LogError>;

    /// Drops entries up to and including the compaction's index, synced: what it reclaims is gone.
    ///
    /// # Errors
    /// [`LogError::Misuse`] beyond the last entry; [`LogError::Io`], [`LogError::Closed`].
    fn compact_to(&self, compaction: &Compaction) -> Result<(), LogError>;

    /// Syncs and closes; closing twice is fine.
    ///
    /// # Errors
    /// [`LogError::SyncFailed`].
    fn close(&self) -> Result<(), LogError>;

    /// Index of the last entry, or of the start without entries.
    ///
    /// # Errors
    /// [`LogError::Closed`].
    fn last_index(&self) -> Result<u64, LogError>;

    /// Syncs since it was opened.
    fn sync_count(&self) -> u64;

    /// Bytes taken on disk (or in memory).
    ///
    /// # Errors
    /// [`LogError::Io`].
    fn bytes_on_disk(&self) -> Result<u64, LogError>;

    /// Writes what one [`Effects`] asks to persist.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn persist(&self, effects: &Effects) -> Result<(), LogError> {
        let start = effects.snapshot.as_ref().map(|snapshot| &snapshot.start);
        self.write(
            start,
            effects.hard_state.as_ref(),
            &effects.entries,
            effects.must_sync,
        )
    }

    /// Replaces the whole log by a snapshot's position, synced. The hard state is lifted to it.
    ///
    /// A host needs this at start when a crash came between installing a snapshot in the state machine
    /// and persisting it here: then the state machine is ahead of the log.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn install_snapshot(&self, start: &Compaction) -> Result<(), LogError> {
        let known = self.recovered()?.hard_state;
        // A vote belongs to its term; in a later one this member has not voted.
        let vote = if known.term() < start.term {
            0
        } else {
            known.vote()
        };
        let lifted = HardStateRecord::new(
            known.term().max(start.term),
            vote,
            known.commit().max(start.index),
        );
        self.write(Some(start), Some(&lifted), &[], true)
    }

    /// Writes the first state of a new cluster, synced.
    ///
    /// # Errors
    /// [`LogError::Misuse`] unless the log is empty; otherwise as [`Self::write`].
    fn bootstrap(&self, voters: &[u64]) -> Result<(), LogError>;
}
