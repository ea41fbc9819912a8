//! Snapshots and the window they allow to shrink.

use raft::SnapshotStatus;
use raft::eraftpb::Snapshot;

use super::Core;
use crate::{Compaction, CoreError};

/// Longest snapshot descriptor. The state machine's copy itself travels on the host's own stream; the
/// descriptor only says where to fetch it.
pub const SNAPSHOT_DESCRIPTOR_BYTES_MAX: usize = 64 << 10;

impl Core {
    /// What became of a snapshot message. Until it is reported, or the member is heard to have it,
    /// nothing else is sent to that member.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`], [`CoreError::Stopped`].
    pub fn report_snapshot(&mut self, member_id: u64, arrived: bool) -> Result<(), CoreError> {
        let status = if arrived {
            SnapshotStatus::Finish
        } else {
            SnapshotStatus::Failure
        };
        self.input(|core| {
            core.node.report_snapshot(member_id, status);
            Ok(())
        })
    }

    /// Offers a snapshot of the state machine as of `index`, from the compaction point up to the
    /// applied index. `data` is a small descriptor of where to fetch the copy. It replaces the one
    /// offered before.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`] outside that range, [`CoreError::EntryTooLarge`] beyond
    /// [`SNAPSHOT_DESCRIPTOR_BYTES_MAX`]; [`CoreError::Stopped`].
    pub fn provide_snapshot(&mut self, index: u64, data: Vec<u8>) -> Result<(), CoreError> {
        if data.len() > SNAPSHOT_DESCRIPTOR_BYTES_MAX {
            return Err(CoreError::EntryTooLarge {
                bytes: data.len(),
                bytes_max: SNAPSHOT_DESCRIPTOR_BYTES_MAX,
            });
        }
        self.input(|core| {
            let start_index = core.node.store().start_index();
            let term = core.node.store().term_of(index);
            let Some(term) = term.filter(|_| index > 0 && index <= core.applied()) else {
                return Err(CoreError::OutOfOrder {
                    reason: format!(
                        "a snapshot at {index} was offered, possible is {start_index} to {}",
                        core.applied()
                    ),
                });
            };
            let configuration = core.node.store().configuration_at(index);
            let mut snapshot = Snapshot::default();
            snapshot.set_data(data.into());
            let metadata = snapshot.mut_metadata();
            metadata.index = index;
            metadata.term = term;
            metadata.set_conf_state(configuration.to_conf_state());
            core.node.mut_store().provide(snapshot);
            Ok(())
        })
    }

    /// Takes the offered snapshot back, because its copy is gone; members that lag ask anew.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`], [`CoreError::Stopped`].
    pub fn withdraw_snapshot(&mut self) -> Result<(), CoreError> {
        self.input(|core| {
            core.node.mut_store().withdraw();
            Ok(())
        })
    }

    /// Forgets entries up to and including `index`, behind which the state machine must be synced.
    /// Members that still need them get a snapshot. An index compacted before changes nothing.
    ///
    /// # Errors
    /// [`CoreError::OutOfOrder`] beyond the applied index; [`CoreError::Stopped`].
    pub fn compact(&mut self, index: u64) -> Result<Compaction, CoreError> {
        self.input(|core| {
            if index > core.applied() {
                return Err(CoreError::OutOfOrder {
                    reason: format!(
                        "compaction up to {index}, applied is only {}",
                        core.applied()
                    ),
                });
            }
            let store = core.node.mut_store();
            let index = index.max(store.start_index());
            Ok(store.compact(index))
        })
    }
}
