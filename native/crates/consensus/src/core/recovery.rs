//! From what a log and a state machine hold to a running protocol.

use std::collections::BTreeMap;

use protobuf::Message as _;
use raft::RawNode;
use raft::eraftpb::{ConfChange, ConfChangeV2, Entry, EntryType, HardState};
use raft_proto::ConfChangeI as _;
use slog::{Discard, Logger, o};

use crate::window::LogWindow;
use crate::{Compaction, Configuration, CoreConfig, CoreError, Recovered};

/// Builds the protocol state at `applied`.
pub(super) fn start(
    config: &CoreConfig,
    recovered: Recovered,
    applied: u64,
) -> Result<RawNode<LogWindow>, CoreError> {
    recovered.validate()?;
    if applied < recovered.start.index || applied > recovered.last_index() {
        return Err(CoreError::InconsistentState {
            reason: format!(
                "the state machine has applied {applied}, the log holds {} to {}",
                recovered.start.index + 1,
                recovered.last_index()
            ),
        });
    }
    let configurations = configurations_up_to(config, &recovered, applied)?;
    let mut hard_state = recovered.hard_state.0.clone();
    // The commit index is written without a sync of its own and may lag; what was applied or
    // compacted was committed.
    hard_state.commit = hard_state.commit.max(applied);
    let window = LogWindow::new(recovered, hard_state, configurations);
    new_node(config, window, applied)
}

/// The change in an entry, if it is one.
pub(super) fn change_in(entry: &Entry) -> Result<Option<ConfChangeV2>, CoreError> {
    let parsed = match entry.get_entry_type() {
        EntryType::EntryNormal => return Ok(None),
        EntryType::EntryConfChange => {
            let mut change = ConfChange::default();
            change
                .merge_from_bytes(entry.get_data())
                .map(|()| change.into_v2())
        }
        EntryType::EntryConfChangeV2 => {
            let mut change = ConfChangeV2::default();
            change.merge_from_bytes(entry.get_data()).map(|()| change)
        }
    };
    parsed.map(Some).map_err(|error| CoreError::Malformed {
        what: "configuration change",
        reason: format!("entry {}: {error}", entry.index),
    })
}

/// Configurations by the index they are in force from, up to `applied`. The log alone says so, so the
/// host need not store them.
fn configurations_up_to(
    config: &CoreConfig,
    recovered: &Recovered,
    applied: u64,
) -> Result<BTreeMap<u64, Configuration>, CoreError> {
    let start = &recovered.start;
    let mut configurations = BTreeMap::from([(start.index, start.configuration.clone())]);
    let mut scratch = None;
    let applied_entries = recovered
        .entries
        .iter()
        .map(|entry| &entry.0)
        .take_while(|entry| entry.index <= applied);
    for entry in applied_entries {
        let Some(change) = change_in(entry)? else {
            continue;
        };
        let node = match &mut scratch {
            Some(node) => node,
            None => scratch.insert(scratch_node(config, start)?),
        };
        let state =
            node.apply_conf_change(&change)
                .map_err(|error| CoreError::InconsistentState {
                    reason: format!("configuration change at {}: {error}", entry.index),
                })?;
        configurations.insert(entry.index, Configuration::from_conf_state(&state));
    }
    Ok(configurations)
}

/// A node that only knows where the log begins; it computes configurations and is thrown away.
fn scratch_node(config: &CoreConfig, start: &Compaction) -> Result<RawNode<LogWindow>, CoreError> {
    let recovered = Recovered {
        start: start.clone(),
        ..Recovered::default()
    };
    let configurations = BTreeMap::from([(start.index, start.configuration.clone())]);
    let window = LogWindow::new(recovered, HardState::default(), configurations);
    new_node(config, window, start.index)
}

fn new_node(
    config: &CoreConfig,
    window: LogWindow,
    applied: u64,
) -> Result<RawNode<LogWindow>, CoreError> {
    let logger = Logger::root(Discard, o!());
    RawNode::new(&config.to_raft(applied), window, &logger).map_err(|error| {
        CoreError::InconsistentState {
            reason: error.to_string(),
        }
    })
}
