//! Copying blocks from another node, over the same frames that callers use.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use holdfast_engine::{PutKey, Reservation, SpaceSpec};
use holdfast_wire::checksum::Crc32c;
use holdfast_wire::limits::KEYS_PER_REQUEST_MAX;
use holdfast_wire::{AnswerStatus, KeyStatus, ListAnswer, ListRequest, ListedBlock, TICKET_BYTES};

use self::link::{Link, LinkError};
use crate::grant::WantedBlock;
use crate::removals::Page;
use crate::route::check_bitmap;
use crate::shared::Shared;
use crate::{Node, NodeError};

mod link;

/// Blocks listed at a time.
const PAGE_BLOCKS_MAX: u64 = 1024;
/// Payload asked for at a time, bytes, unless one block is larger.
const BATCH_BYTES: u64 = 16 << 20;
/// Pause before a peer is asked again that has not seen this node's map yet.
const PEER_MAP_PAUSE: Duration = Duration::from_millis(5);

/// What to copy, and from whom.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// The peer's `host:port`.
    pub peer_address: String,
    /// The peer's id.
    pub peer_node: u64,
    /// A node ticket.
    pub ticket: [u8; TICKET_BYTES],
    /// Number of groups that the bitmap is about.
    pub group_count: u32,
    /// Bit g of byte g / 8 is set when blocks of group g are wanted.
    pub groups: Vec<u8>,
    /// 0 to begin, then what the call before returned.
    pub cursor: u64,
    /// Payload after which the call ends, bytes.
    pub bytes_max: u64,
    /// Time after which the call ends, milliseconds.
    pub deadline_ms: u32,
    /// What is known of spaces, by number; blocks of others are left out.
    pub spaces: HashMap<u32, SpaceSpec>,
}

/// How far a pull came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PullResult {
    /// Cursor of the next call; 0 at the end.
    pub next_cursor: u64,
    /// Blocks that are stored here by this call.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Node {
    /// Copies blocks that this node lacks from a peer into its own engine. Blocks the calling
    /// thread. A block whose bytes do not match its checksum is left out.
    ///
    /// # Errors
    /// [`NodeError::Pull`] when the peer cannot be reached, refuses, or breaks the protocol, or
    /// when the time is over before one page is done; [`NodeError::Bitmap`] for a wrong bitmap.
    pub fn pull(&self, request: &PullRequest) -> Result<PullResult, NodeError> {
        check_bitmap(request.group_count, &request.groups)?;
        let pull = Pull {
            shared: &self.shared,
            request,
            done: PullResult {
                next_cursor: request.cursor,
                blocks: 0,
                bytes: 0,
            },
        };
        pull.run().map_err(|error| NodeError::Pull {
            node: request.peer_node,
            address: request.peer_address.clone(),
            reason: error.to_string(),
        })
    }
}

struct Pull<'a> {
    shared: &'a Shared,
    request: &'a PullRequest,
    done: PullResult,
}

/// Room for a listed block.
struct Room {
    wanted: WantedBlock,
    write_id: u32,
}

impl Pull<'_> {
    fn run(mut self) -> Result<PullResult, LinkError> {
        let deadline_us =
            self.shared.clock.monotonic_us() + u64::from(self.request.deadline_ms) * 1000;
        let mut link = Link::open(self.shared, self.request, deadline_us)?;
        let mut pages = 0;
        loop {
            match self.page(&mut link) {
                Ok(next_cursor) => self.done.next_cursor = next_cursor,
                // What is stored stays stored; the page is looked at again by the next call.
                Err(LinkError::Deadline) if pages > 0 || self.done.blocks > 0 => {
                    return Ok(self.done);
                }
                Err(error) => return Err(error),
            }
            pages += 1;
            if self.done.next_cursor == 0 || self.done.bytes >= self.request.bytes_max {
                return Ok(self.done);
            }
        }
    }

    /// Copies what is lacking of one page; returns the cursor of the next.
    fn page(&mut self, link: &mut Link<'_>) -> Result<u64, LinkError> {
        let specs = self.request.spaces.values();
        let block_bytes_max = specs.map(|spec| spec.block_bytes).max().unwrap_or(1).max(1);
        let bytes_left = self.request.bytes_max.saturating_sub(self.done.bytes);
        let limit = (bytes_left / u64::from(block_bytes_max)).clamp(1, PAGE_BLOCKS_MAX);
        let now_ms = self.shared.clock.monotonic_ms();
        let removals = self.shared.removals.begin_page(now_ms);
        let page = self.list(link, (limit as u32).min(KEYS_PER_REQUEST_MAX))?;
        let mut by_space: BTreeMap<u32, Vec<ListedBlock>> = BTreeMap::new();
        for block in page.blocks {
            if self.is_usable(&block) {
                by_space.entry(block.space).or_default().push(block);
            }
        }
        for (space, blocks) in by_space {
            let spec = self.request.spaces[&space];
            let batch = (BATCH_BYTES / u64::from(spec.block_bytes)).max(1) as usize;
            for blocks in blocks.chunks(batch) {
                self.copy(link, &spec, blocks, &removals)?;
            }
        }
        Ok(page.next)
    }

    /// Asks for the next page until the peer has seen the map by which the groups moved here.
    fn list(&self, link: &mut Link<'_>, limit: u32) -> Result<ListAnswer, LinkError> {
        let request = ListRequest {
            cursor: self.done.next_cursor,
            limit,
            group_count: self.request.group_count,
            groups: self.request.groups.clone(),
        };
        loop {
            match link.list(&request) {
                Err(LinkError::Refused {
                    status: AnswerStatus::Busy,
                    ..
                }) => link.pause(PEER_MAP_PAUSE)?,
                result => return result,
            }
        }
    }

    fn is_usable(&self, block: &ListedBlock) -> bool {
        self.request.spaces.get(&block.space).is_some_and(|spec| {
            spec.tenant == block.tenant
                && spec.block_bytes == block.block_bytes
                && spec.block_bytes != 0
                && !self.shared.is_dropped(block.space)
        })
    }

    /// Copies blocks of one space that are not here yet.
    fn copy(
        &mut self,
        link: &mut Link<'_>,
        spec: &SpaceSpec,
        blocks: &[ListedBlock],
        removals: &Page<'_>,
    ) -> Result<(), LinkError> {
        let rooms = self.reserve(spec, blocks);
        if rooms.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = rooms.iter().map(|room| room.wanted.id).collect();
        let answers = link.get(spec.space, &ids, spec.block_bytes)?;
        let mut kept = Vec::with_capacity(rooms.len());
        for (mut room, answer) in rooms.into_iter().zip(answers) {
            if answer.status != KeyStatus::Hit {
                continue;
            }
            let mut digest = Crc32c::new();
            let slot = room.wanted.slot.as_mut_slice();
            link.read_payload(slot, |piece| digest.update(piece))?;
            // The block may have been replaced since it was listed; then it is another write.
            if digest.value() == answer.crc && room.write_id == answer.write_id {
                kept.push((room.wanted, answer.crc));
            }
        }
        if self.shared.is_dropped(spec.space) {
            return Ok(());
        }
        let ids = kept.iter().map(|(wanted, _)| wanted.id);
        let removed = removals.removed(spec.space, ids);
        let kept = kept.into_iter().zip(removed);
        let kept = kept
            .filter(|(_, removed)| !removed)
            .map(|((wanted, crc), _)| (wanted.slot, crc));
        let visible = self.shared.engine.commit_batch(kept);
        let stored = visible.into_iter().filter(|visible| *visible).count() as u64;
        self.done.blocks += stored;
        self.done.bytes += stored * u64::from(spec.block_bytes);
        Ok(())
    }

    /// Takes room for the blocks that are not here; one call of the engine for a write's blocks of
    /// one age, because a copy keeps the number of the write that it came from, and its end.
    fn reserve(&self, spec: &SpaceSpec, blocks: &[ListedBlock]) -> Vec<Room> {
        let now_ms = self.shared.clock.monotonic_ms();
        let mut by_write: BTreeMap<(u32, u64), Vec<PutKey>> = BTreeMap::new();
        for block in blocks {
            let write = (block.write_id, age_ms(spec, block));
            by_write.entry(write).or_default().push(PutKey {
                id: block.id,
                position: block.position,
            });
        }
        let mut rooms = Vec::with_capacity(blocks.len());
        let mut reservations = Vec::new();
        for ((write_id, age_ms), keys) in by_write {
            let engine = &self.shared.engine;
            engine.reserve_copies(spec, &keys, write_id, age_ms, now_ms, &mut reservations);
            for (key, reservation) in keys.iter().zip(reservations.drain(..)) {
                if let Reservation::Write(slot) = reservation {
                    let wanted = WantedBlock {
                        key: rooms.len() as u32,
                        id: key.id,
                        slot,
                    };
                    rooms.push(Room { wanted, write_id });
                }
            }
        }
        rooms
    }
}

/// How long ago a listed block was written, as far as its space's time to live needs to know.
fn age_ms(spec: &SpaceSpec, block: &ListedBlock) -> u64 {
    match block.ttl_left_ms {
        0 => 0,
        left_ms => (u64::from(spec.ttl_s) * 1000).saturating_sub(left_ms),
    }
}
