//! What a log holds after a restart.

use crate::{Configuration, CoreError, EntryRecord, HardStateRecord};

/// Index that a new cluster starts from. It is not 0, so that a member that joins with an empty log
/// can never be caught up by entries alone: it must be sent a snapshot, and with it the members.
pub const BOOTSTRAP_INDEX: u64 = 1;

/// Term that a new cluster starts from.
pub const BOOTSTRAP_TERM: u64 = 1;

/// Where a log begins: everything up to `index` is compacted away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Last index that is gone.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// Configuration in force at `index`.
    pub configuration: Configuration,
}

/// What a log holds; input of [`crate::Core::new`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovered {
    /// Term, vote, commit.
    pub hard_state: HardStateRecord,
    /// Where the log begins.
    pub start: Compaction,
    /// Contiguous from `start.index + 1`.
    pub entries: Vec<EntryRecord>,
}

impl Recovered {
    /// The first state of a new cluster; the same on every founding member.
    #[must_use]
    pub fn bootstrap(voters: &[u64]) -> Self {
        Self {
            hard_state: HardStateRecord::new(BOOTSTRAP_TERM, 0, BOOTSTRAP_INDEX),
            start: Compaction {
                index: BOOTSTRAP_INDEX,
                term: BOOTSTRAP_TERM,
                configuration: Configuration::new(voters, &[]),
            },
            entries: Vec::new(),
        }
    }

    /// Index of the last entry, or of the compaction point without entries.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.entries
            .last()
            .map_or(self.start.index, |entry| entry.0.index)
    }

    /// Neither bootstrapped nor joined.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start.index == 0 && self.entries.is_empty() && self.hard_state.term() == 0
    }

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// [`CoreError::InconsistentState`] names the parts that do not.
    pub fn validate(&self) -> Result<(), CoreError> {
        let refuse = |reason: String| Err(CoreError::InconsistentState { reason });
        let mut last = (self.start.index, self.start.term);
        for entry in &self.entries {
            if entry.0.index != last.0 + 1 || entry.0.term < last.1 {
                return refuse(format!(
                    "entry (index {}, term {}) follows (index {}, term {})",
                    entry.0.index, entry.0.term, last.0, last.1
                ));
            }
            last = (entry.0.index, entry.0.term);
        }
        if self.hard_state.commit() > last.0 {
            return refuse(format!(
                "commit index {} is beyond the last entry {}: synced entries are missing",
                self.hard_state.commit(),
                last.0
            ));
        }
        if self.hard_state.term() < last.1 {
            return refuse(format!(
                "term {} is behind the last entry's term {}",
                self.hard_state.term(),
                last.1
            ));
        }
        Ok(())
    }
}
