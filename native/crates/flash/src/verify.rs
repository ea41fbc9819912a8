use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use holdfast_engine::BlockId;

use crate::failures::ReadFailure;
use crate::store::ends_to;
use crate::types::{Location, ReadInto};
use crate::{FlashStore, PageMemory};

/// Payload that is read at a time, bytes.
const GROUP_BYTES_MAX: u64 = 8 << 20;
/// Blocks that are read at a time.
const GROUP_BLOCKS_MAX: usize = 64;
/// Records that are looked at under the lock at a time.
const LOOKED_AT_MAX: u32 = 4096;

/// A block that could not be read or did not match its checksum. It is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadBlock {
    /// Its id.
    pub id: BlockId,
    /// Its tenant.
    pub tenant: u32,
    /// Its space.
    pub space: u32,
    /// The put that wrote it.
    pub write_id: u32,
    /// What is wrong with it.
    pub failure: ReadFailure,
}

/// What a step of verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Where to go on; 0 after the last record.
    pub next: u32,
    /// Blocks that were read and are well.
    pub blocks: u64,
    /// Payload of those, bytes.
    pub bytes: u64,
    /// Blocks that are not.
    pub bad: Vec<BadBlock>,
    /// Time was over, or too many reads waited: the step ended early and is to be made again from
    /// [`Verified::next`] on.
    pub hurried: bool,
}

/// A block with its owner.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned {
    pub(crate) location: Location,
    pub(crate) tenant: u32,
    pub(crate) space: u32,
}

impl FlashStore {
    /// Reads blocks and compares them with their checksums, from record `from` on (0 to begin)
    /// until `bytes_max` bytes were read. Bad blocks are dropped and told. Waits for the disk, at
    /// most `deadline`; not to be called by whoever is told of ends.
    #[must_use]
    pub fn verify(&self, from: u32, bytes_max: u64, deadline: Duration) -> Verified {
        let until = Instant::now() + deadline;
        let mut verified = Verified {
            next: from,
            ..Verified::default()
        };
        let mut read_bytes = 0;
        loop {
            let (group, next) = self.next_group(verified.next);
            read_bytes += group
                .iter()
                .map(|owned| u64::from(owned.location.payload_bytes))
                .sum::<u64>();
            if !self.verify_group(&group, until, &mut verified) {
                verified.hurried = true;
                return verified;
            }
            verified.next = next;
            if next == 0 || read_bytes >= bytes_max {
                return verified;
            }
        }
    }

    /// Verifies every block: what a store needs before it is trusted again when its disk has
    /// failed a sync and it was opened anew.
    #[must_use]
    pub fn check(&self, deadline: Duration) -> Verified {
        self.verify(0, u64::MAX, deadline)
    }

    /// Blocks from a record on, and where to go on.
    fn next_group(&self, from: u32) -> (Vec<Owned>, u32) {
        let state = self.shared().state.lock();
        let used = state.index.slots_used();
        let end = used.min(from.saturating_add(LOOKED_AT_MAX));
        let mut group = Vec::new();
        let mut bytes = 0;
        for slot in from..end {
            if group.len() == GROUP_BLOCKS_MAX || bytes >= GROUP_BYTES_MAX {
                return (group, slot);
            }
            if let Some(owned) = state.locate_slot(slot) {
                bytes += u64::from(owned.location.payload_bytes);
                group.push(owned);
            }
        }
        (group, if end == used { 0 } else { end })
    }

    /// Reads a group; false when it could not be read to the end.
    fn verify_group(&self, group: &[Owned], until: Instant, verified: &mut Verified) -> bool {
        let (sender, ends) = channel();
        let reads: Vec<ReadInto> = (0..)
            .zip(group)
            .map(|(tag, owned)| ReadInto {
                tag,
                location: owned.location,
                room: Box::new(PageMemory::new(owned.location.room_bytes())),
                verify: true,
            })
            .collect();
        self.read(reads, &ends_to(sender));
        let mut complete = true;
        for _ in group {
            let rest = until.saturating_duration_since(Instant::now());
            let Ok(end) = ends.recv_timeout(rest) else {
                return false;
            };
            let owned = &group[end.tag as usize];
            match end.result {
                Ok(()) => {
                    verified.blocks += 1;
                    verified.bytes += u64::from(owned.location.payload_bytes);
                }
                Err(failure @ (ReadFailure::Io { .. } | ReadFailure::Corrupt)) => {
                    verified.bad.push(BadBlock {
                        id: owned.location.id,
                        tenant: owned.tenant,
                        space: owned.space,
                        write_id: owned.location.write_id,
                        failure,
                    });
                }
                Err(ReadFailure::Gone | ReadFailure::Room { .. }) => {}
                Err(ReadFailure::Busy { .. } | ReadFailure::Stopped) => complete = false,
            }
        }
        complete
    }
}
