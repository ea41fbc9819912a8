//! The log since the last compaction, in memory, as the protocol reads it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::records::entry_weight_bytes;
use crate::{Compaction, Configuration, Recovered, SnapshotWanted};

/// Entries from `first_index` on, and what is known about the index before it.
///
/// It holds entries as soon as they are persisted, so reading never touches the disk; the host bounds
/// it by compacting.
#[derive(Debug)]
pub(crate) struct LogWindow {
    hard_state: HardState,
    conf_state: ConfState,
    start_index: u64,
    start_term: u64,
    entries: VecDeque<Entry>,
    entry_bytes: u64,
    /// Configuration in force from each index on; the first key is at or below `start_index`.
    configurations: BTreeMap<u64, Configuration>,
    provided: Option<Snapshot>,
    /// By member, filled while the protocol asks through `&self`.
    wanted: RefCell<BTreeMap<u64, u64>>,
}

impl LogWindow {
    /// `configurations`: in force from each index on, up to the applied index.
    pub(crate) fn new(
        recovered: Recovered,
        hard_state: HardState,
        configurations: BTreeMap<u64, Configuration>,
    ) -> Self {
        let conf_state = configurations
            .last_key_value()
            .map_or_else(ConfState::default, |(_, last)| last.to_conf_state());
        let entries: VecDeque<Entry> = recovered.entries.into_iter().map(|entry| entry.0).collect();
        Self {
            hard_state,
            conf_state,
            start_index: recovered.start.index,
            start_term: recovered.start.term,
            entry_bytes: entries.iter().map(entry_weight_bytes).sum(),
            entries,
            configurations,
            provided: None,
            wanted: RefCell::default(),
        }
    }

    pub(crate) fn start_index(&self) -> u64 {
        self.start_index
    }

    pub(crate) fn last(&self) -> u64 {
        self.start_index + self.entries.len() as u64
    }

    pub(crate) fn entry_bytes(&self) -> u64 {
        self.entry_bytes
    }

    /// Term of an entry in the window or of the one right before it.
    pub(crate) fn term_of(&self, index: u64) -> Option<u64> {
        if index == self.start_index {
            return Some(self.start_term);
        }
        self.entry(index).map(|entry| entry.term)
    }

    pub(crate) fn entry(&self, index: u64) -> Option<&Entry> {
        let offset = index.checked_sub(self.start_index + 1)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    /// Appends; an index already here replaces that entry and all after it.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else {
            return;
        };
        assert!(
            first.index > self.start_index && first.index <= self.last() + 1,
            "entry {} does not continue the window {}..={}",
            first.index,
            self.start_index + 1,
            self.last()
        );
        let keep = (first.index - self.start_index - 1) as usize;
        let replaced: u64 = self.entries.iter().skip(keep).map(entry_weight_bytes).sum();
        self.entries.truncate(keep);
        self.entries.extend(entries.iter().cloned());
        self.entry_bytes -= replaced;
        self.entry_bytes += entries.iter().map(entry_weight_bytes).sum::<u64>();
    }

    /// Replaces everything by a snapshot's position.
    pub(crate) fn install(&mut self, start: &Compaction) {
        self.entries.clear();
        self.entry_bytes = 0;
        self.start_index = start.index;
        self.start_term = start.term;
        self.conf_state = start.configuration.to_conf_state();
        self.configurations.clear();
        self.configurations
            .insert(start.index, start.configuration.clone());
        self.provided = None;
        self.wanted.borrow_mut().clear();
    }

    /// Drops entries up to and including `index`, which must be in the window.
    pub(crate) fn compact(&mut self, index: u64) -> Compaction {
        let configuration = self.configuration_at(index);
        if index > self.start_index {
            let term = self.term_of(index).expect("compaction stays in the window");
            let dropped = self.entries.drain(..(index - self.start_index) as usize);
            self.entry_bytes -= dropped.map(|entry| entry_weight_bytes(&entry)).sum::<u64>();
            self.start_index = index;
            self.start_term = term;
            self.configurations = self.configurations.split_off(&(index + 1));
            self.configurations.insert(index, configuration.clone());
            if self.provided_index().is_some_and(|given| given < index) {
                self.provided = None;
            }
        }
        Compaction {
            index: self.start_index,
            term: self.start_term,
            configuration,
        }
    }

    /// Configuration in force at an applied index.
    pub(crate) fn configuration_at(&self, index: u64) -> Configuration {
        self.configurations
            .range(..=index)
            .next_back()
            .map(|(_, configuration)| configuration.clone())
            .unwrap_or_default()
    }

    pub(crate) fn record_configuration(&mut self, index: u64, configuration: Configuration) {
        self.conf_state = configuration.to_conf_state();
        self.configurations.insert(index, configuration);
    }

    pub(crate) fn provide(&mut self, snapshot: Snapshot) {
        let index = snapshot.get_metadata().index;
        self.wanted.borrow_mut().retain(|_, least| *least > index);
        self.provided = Some(snapshot);
    }

    pub(crate) fn withdraw(&mut self) {
        self.provided = None;
    }

    pub(crate) fn wants_snapshots(&self) -> bool {
        !self.wanted.borrow().is_empty()
    }

    pub(crate) fn take_wanted(&self) -> Vec<SnapshotWanted> {
        std::mem::take(&mut *self.wanted.borrow_mut())
            .into_iter()
            .map(|(member_id, index)| SnapshotWanted { member_id, index })
            .collect()
    }

    fn provided_index(&self) -> Option<u64> {
        self.provided
            .as_ref()
            .map(|snapshot| snapshot.get_metadata().index)
    }
}

impl Storage for LogWindow {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(
            self.hard_state.clone(),
            self.conf_state.clone(),
        ))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.start_index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        assert!(
            high <= self.last() + 1,
            "entries {low}..{high} asked, the window ends at {}",
            self.last()
        );
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        let mut bytes = 0;
        let first = (low - self.start_index - 1) as usize;
        let count = (high - low) as usize;
        Ok(self
            .entries
            .iter()
            .skip(first)
            .take(count)
            .take_while(|entry| {
                let is_first = bytes == 0;
                bytes += entry_weight_bytes(entry);
                is_first || bytes <= bytes_max
            })
            .cloned()
            .collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.start_index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        self.term_of(index)
            .ok_or(raft::Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.start_index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let least = request_index.max(self.start_index);
        match &self.provided {
            Some(given) if given.get_metadata().index >= least && names(given, to) => {
                Ok(given.clone())
            }
            _ => {
                // A member refuses a snapshot from before it was added, for ever.
                let added = self.configurations.last_key_value();
                let added = added.map_or(least, |(index, _)| *index);
                self.wanted.borrow_mut().insert(to, least.max(added));
                Err(raft::Error::Store(
                    StorageError::SnapshotTemporarilyUnavailable,
                ))
            }
        }
    }
}

fn names(snapshot: &Snapshot, member_id: u64) -> bool {
    Configuration::from_conf_state(snapshot.get_metadata().get_conf_state()).contains(member_id)
}
