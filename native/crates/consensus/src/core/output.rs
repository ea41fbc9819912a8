//! What the host must do, and its word that it did.

use raft::Ready;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use super::{Core, known};
use crate::records::entry_weight_bytes;
use crate::{
    CommittedEntry, Compaction, Configuration, CoreError, Effects, EntryKind, EntryRecord,
    Envelope, HardStateRecord, Position, Role, Snapshot, SoftState,
};

impl Core {
    /// Whether [`Self::ready`] would return effects.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        self.stopped.is_none()
            && self.outstanding.is_none()
            && (self.node.has_ready() || self.node.store().wants_snapshots())
    }

    /// What must be done, or nothing.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`] while earlier effects wait for [`Self::advance`];
    /// [`CoreError::Stopped`].
    pub fn ready(&mut self) -> Result<Option<Effects>, CoreError> {
        self.input(|core| {
            if !core.has_ready() {
                return Ok(None);
            }
            let mut ready = core.node.ready();
            let effects = core.effects_of(&mut ready);
            core.outstanding = Some(ready);
            Ok(Some(effects))
        })
    }

    /// The effects of that number are persisted and their messages sent.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`] for another number; [`CoreError::Stopped`].
    pub fn advance(&mut self, number: u64) -> Result<(), CoreError> {
        let expected = self.outstanding.as_ref().map(Ready::number);
        if expected != Some(number) {
            return Err(CoreError::OutOfOrder {
                reason: format!("advance({number}), waiting is {expected:?}"),
            });
        }
        let Some(ready) = self.outstanding.take() else {
            return Ok(());
        };
        // What persisting makes possible (a commit, further messages) comes with the next effects.
        self.input(|core| {
            let installed = ready.snapshot().get_metadata().index;
            if installed > 0 {
                let start = compaction_of(ready.snapshot());
                core.node.mut_store().install(&start);
            }
            core.node.mut_store().append(ready.entries());
            core.node.advance_append_async(ready);
            core.node.on_persist_ready(number);
            if installed > 0 {
                core.unapplied_changes.clear();
                core.node.advance_apply_to(installed);
            }
            Ok(())
        })
    }

    /// The state machine holds everything up to `index`.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`] for an index that goes back, beyond what was handed out, or past a
    /// configuration entry that was not applied; [`CoreError::Stopped`].
    pub fn advance_apply(&mut self, index: u64) -> Result<(), CoreError> {
        self.input(|core| {
            let applied = core.applied();
            let skipped = core
                .unapplied_changes
                .front()
                .is_some_and(|entry| entry.index <= index);
            if index < applied || index > core.handed_out || skipped {
                return Err(CoreError::OutOfOrder {
                    reason: format!(
                        "advance_apply({index}): applied {applied}, handed out {}, configuration \
                         change waiting at {:?}",
                        core.handed_out,
                        core.unapplied_changes.front().map(|entry| entry.index)
                    ),
                });
            }
            core.node.advance_apply_to(index);
            Ok(())
        })
    }

    fn effects_of(&mut self, ready: &mut Ready) -> Effects {
        let snapshot = ready.snapshot();
        let snapshot = (!snapshot.is_empty()).then(|| Snapshot {
            start: compaction_of(snapshot),
            data: snapshot.get_data().to_vec(),
        });
        if let Some(snapshot) = &snapshot {
            self.handed_out = snapshot.start.index;
        }
        let committed = ready.take_committed_entries();
        for entry in &committed {
            self.handed_out = entry.index;
            if entry.get_entry_type() != EntryType::EntryNormal {
                self.unapplied_changes.push_back(entry.clone());
            }
        }
        let read_states = ready.take_read_states();
        Effects {
            number: ready.number(),
            hard_state: ready.hs().cloned().map(HardStateRecord),
            entries: ready.entries().iter().cloned().map(EntryRecord).collect(),
            must_sync: ready.must_sync(),
            snapshot,
            messages: self.envelopes(ready.take_messages()),
            messages_after_persist: self.envelopes(ready.take_persisted_messages()),
            committed: committed.into_iter().map(committed_entry).collect(),
            read_points: read_states
                .iter()
                .filter_map(|state| self.reads.unwrap(state))
                .collect(),
            soft_state: ready.ss().map(|state| SoftState {
                role: Role::from_raft(state.raft_state),
                leader: known(state.leader_id),
            }),
            snapshots_wanted: self.node.store().take_wanted(),
        }
    }

    /// The protocol merges appends that wait for the same member without looking at their size.
    fn envelopes(&self, messages: Vec<Message>) -> Vec<Envelope> {
        let bytes_max = self.config.message_bytes_max;
        messages
            .into_iter()
            .flat_map(|message| match message.get_msg_type() {
                MessageType::MsgAppend => split_append(message, bytes_max),
                _ => vec![message],
            })
            .map(Envelope::from_raft)
            .collect()
    }
}

fn compaction_of(snapshot: &raft::eraftpb::Snapshot) -> Compaction {
    let metadata = snapshot.get_metadata();
    Compaction {
        index: metadata.index,
        term: metadata.term,
        configuration: Configuration::from_conf_state(metadata.get_conf_state()),
    }
}

/// One append as several that follow each other, each within the limit or of one entry.
fn split_append(mut append: Message, bytes_max: u64) -> Vec<Message> {
    let entries = append.take_entries().into_vec();
    let mut pieces = Vec::new();
    let mut piece = append;
    let mut bytes = 0;
    for entry in entries {
        let more = entry_weight_bytes(&entry);
        if bytes + more > bytes_max && !piece.entries.is_empty() {
            let mut next = piece.clone();
            next.clear_entries();
            if let Some(last) = piece.entries.last() {
                next.index = last.index;
                next.log_term = last.term;
            }
            pieces.push(std::mem::replace(&mut piece, next));
            bytes = 0;
        }
        bytes += more;
        piece.mut_entries().push(entry);
    }
    pieces.push(piece);
    pieces
}

fn committed_entry(entry: Entry) -> CommittedEntry {
    let kind = match entry.get_entry_type() {
        EntryType::EntryNormal => EntryKind::Normal,
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => EntryKind::Configuration,
    };
    CommittedEntry {
        position: Position {
            index: entry.index,
            term: entry.term,
        },
        kind,
        context: entry.context.to_vec(),
        data: entry.data.to_vec(),
    }
}
