//! A log in memory that can forget what was not synced.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::DurableLog;
use super::region::{Extent, misuse};
use crate::{Compaction, EntryRecord, HardStateRecord, LogError, Recovered};

/// [`super::EngineLog`]'s twin for simulations.
#[derive(Debug, Default)]
pub struct MemoryLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    synced: Recovered,
    unsynced: Vec<Operation>,
    extent: Extent,
    sync_count: u64,
    closed: bool,
}

#[derive(Debug, Clone)]
enum Operation {
    Write {
        start: Option<Compaction>,
        hard_state: Option<HardStateRecord>,
        entries: Vec<EntryRecord>,
    },
    Compact(Compaction),
}

impl Operation {
    fn apply(self, state: &mut Recovered) {
        match self {
            Self::Write {
                start,
                hard_state,
                entries,
            } => {
                if let Some(start) = start {
                    state.entries.clear();
                    state.start = start;
                }
                if let Some(hard_state) = hard_state {
                    state.hard_state = hard_state;
                }
                if let Some(first) = entries.first() {
                    let keep = (first.0.index - state.start.index - 1) as usize;
                    state.entries.truncate(keep);
                    state.entries.extend(entries);
                }
            }
            Self::Compact(start) => {
                if start.index > state.start.index {
                    let dropped = (start.index - state.start.index) as usize;
                    state.entries.drain(..dropped.min(state.entries.len()));
                    state.start = start;
                }
            }
        }
    }
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As if the machine lost power: what was not synced is gone, except the first `unsynced_kept`
    /// writes, which the disk had written already. An open log stays open, a closed one opens again.
    pub fn crash(&self, unsynced_kept: usize) {
        let mut state = self.state.lock();
        let kept = state.unsynced.len().min(unsynced_kept);
        state.unsynced.truncate(kept);
        state.sync();
        state.extent = Extent {
            start_index: state.synced.start.index,
            last_index: state.synced.last_index(),
        };
        state.closed = false;
    }
}

impl State {
    fn sync(&mut self) {
        for operation in std::mem::take(&mut self.unsynced) {
            operation.apply(&mut self.synced);
        }
    }

    fn require_open(&self) -> Result<(), LogError> {
        if self.closed {
            return Err(LogError::Closed {
                directory: PathBuf::from(IN_MEMORY),
            });
        }
        Ok(())
    }
}

const IN_MEMORY: &str = "(in memory)";

impl DurableLog for MemoryLog {
    fn recovered(&self) -> Result<Recovered, LogError> {
        let state = self.state.lock();
        state.require_open()?;
        let mut recovered = state.synced.clone();
        for operation in state.unsynced.clone() {
            operation.apply(&mut recovered);
        }
        Ok(recovered)
    }

    fn write(
        &self,
        start: Option<&Compaction>,
        hard_state: Option<&HardStateRecord>,
        entries: &[EntryRecord],
        sync: bool,
    ) -> Result<(), LogError> {
        let mut state = self.state.lock();
        state.require_open()?;
        let extent = start.map_or(state.extent, |start| Extent {
            start_index: start.index,
            last_index: start.index,
        });
        state.extent = extent.append(Path::new(IN_MEMORY), entries)?;
        state.unsynced.push(Operation::Write {
            start: start.cloned(),
            hard_state: hard_state.cloned(),
            entries: entries.to_vec(),
        });
        if sync {
            state.sync();
            state.sync_count += 1;
        }
        Ok(())
    }

    fn compact_to(&self, compaction: &Compaction) -> Result<(), LogError> {
        let mut state = self.state.lock();
        state.require_open()?;
        let extent = state
            .extent
            .compact(Path::new(IN_MEMORY), compaction.index)?;
        if extent.start_index == state.extent.start_index {
            return Ok(());
        }
        state.extent = extent;
        state.unsynced.push(Operation::Compact(compaction.clone()));
        state.sync();
        state.sync_count += 1;
        Ok(())
    }

    fn close(&self) -> Result<(), LogError> {
        let mut state = self.state.lock();
        state.sync();
        state.closed = true;
        Ok(())
    }

    fn last_index(&self) -> Result<u64, LogError> {
        let state = self.state.lock();
        state.require_open()?;
        Ok(state.extent.last_index)
    }

    fn sync_count(&self) -> u64 {
        self.state.lock().sync_count
    }

    fn bytes_on_disk(&self) -> Result<u64, LogError> {
        let recovered = self.recovered()?;
        Ok(recovered
            .entries
            .iter()
            .map(EntryRecord::weight_bytes)
            .sum())
    }

    fn bootstrap(&self, voters: &[u64]) -> Result<(), LogError> {
        if !self.recovered()?.is_empty() {
            return Err(misuse(
                Path::new(IN_MEMORY),
                "bootstrap of a log that is not empty".to_owned(),
            ));
        }
        let first = Recovered::bootstrap(voters);
        self.write(Some(&first.start), Some(&first.hard_state), &[], true)
    }
}
