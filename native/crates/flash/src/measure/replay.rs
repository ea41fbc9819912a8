use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use holdfast_engine::measure::request_id;
use holdfast_engine::{BlockId, PutKey, SpaceSpec};
use holdfast_wire::checksum::crc32c;
use thiserror::Error;

use crate::disk::CrashImage;
use crate::layout::PAGE_BYTES;
use crate::types::{Append, AppendDone, Durability, Location, ReadDone, ReadEnd, ReadInto};
use crate::{FlashConfig, FlashError, FlashStore, HeapBlock, Log, PageMemory, ReclaimConfig};

/// Size of each block of a replay, bytes.
pub const REPLAY_BLOCK_BYTES: u32 = 64 << 10;

const SEGMENT_BYTES: u64 = 4 << 20;
/// Blocks of one segment: its pages less head, footer and batch heads.
const SEGMENT_BLOCKS: u64 = 62;
/// Segments that the store keeps free.
const SEGMENTS_FREE: u64 = 2;
const SPACE: SpaceSpec = SpaceSpec {
    tenant: 1,
    space: 1,
    block_bytes: REPLAY_BLOCK_BYTES,
    ttl_s: 0,
    priority: 0,
};

/// Why a replay could not be made.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The store could not be made.
    #[error(transparent)]
    Store(#[from] FlashError),
    /// Too few segments.
    #[error("capacity is {capacity_blocks} blocks; it must be at least {least}")]
    Capacity {
        /// Blocks asked for.
        capacity_blocks: u64,
        /// Fewest that make a store.
        least: u64,
    },
}

/// What a replay through the store counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlashReplay {
    /// Blocks found with all blocks before them.
    pub hits: u64,
    /// Blocks asked for.
    pub references: u64,
    /// Payload bytes written for puts.
    pub admitted_bytes: u64,
    /// Payload bytes that were put and not written: deepest blocks that are never asked for again.
    pub refused_bytes: u64,
    /// Payload bytes written because their segment was reused.
    pub reinserted_bytes: u64,
    /// Everything else that was written: heads, entries, ends of pages, footers.
    pub other_bytes: u64,
    /// Most blocks that were stored at once.
    pub blocks_max: u64,
    /// Segments that were reused.
    pub reclaimed: u64,
}

impl FlashReplay {
    /// Bytes written to the disk for each byte that was written for a put.
    #[must_use]
    pub fn written_per_admitted(&self) -> f64 {
        self.written_bytes() as f64 / self.admitted_bytes.max(1) as f64
    }

    /// Bytes written to the disk for each byte that was put, written or not.
    #[must_use]
    pub fn written_per_put(&self) -> f64 {
        let put = self.admitted_bytes + self.refused_bytes;
        self.written_bytes() as f64 / put.max(1) as f64
    }

    fn written_bytes(&self) -> u64 {
        self.admitted_bytes + self.reinserted_bytes + self.other_bytes
    }
}

/// Replays requests through a store in memory whose blocks all fit `capacity_blocks`. Each block
/// carries its number, and each block read is compared with it.
///
/// # Errors
/// The store could not be made, or so few blocks make none.
///
/// # Panics
/// When the store returns bytes of another block.
pub fn replay_flash<'a>(
    requests: impl IntoIterator<Item = &'a [u64]>,
    capacity_blocks: u64,
    reclaim: ReclaimConfig,
) -> Result<FlashReplay, ReplayError> {
    let least = SEGMENT_BLOCKS * 4;
    if capacity_blocks < least {
        return Err(ReplayError::Capacity {
            capacity_blocks,
            least,
        });
    }
    let segments = capacity_blocks / SEGMENT_BLOCKS + SEGMENTS_FREE;
    let config = FlashConfig {
        segment_bytes: SEGMENT_BYTES,
        batch_bytes_max: 1 << 20,
        blocks_max: (capacity_blocks * 2).max(1024),
        write_queue_bytes_max: 64 << 30,
        reclaim,
        ..FlashConfig::default()
    };
    let disk = Box::new(CrashImage::new((segments + 1) * SEGMENT_BYTES, 1).disk());
    let (store, log, _) = FlashStore::open_stepped(config, disk, 0)?;
    let (sender, ends) = channel();
    let mut replay = Replay {
        store,
        log,
        done: Arc::new(|_, _| {}),
        sender,
        ends,
        result: FlashReplay::default(),
    };
    for request in requests {
        replay.serve(request);
    }
    let counters = replay.store.stats().counters;
    Ok(FlashReplay {
        admitted_bytes: counters.admitted_bytes,
        refused_bytes: counters.refused_deepest * u64::from(REPLAY_BLOCK_BYTES),
        reinserted_bytes: counters.reinserted_bytes,
        other_bytes: counters.padding_bytes + counters.footer_bytes,
        reclaimed: counters.reclaimed,
        ..replay.result
    })
}

struct Replay {
    log: Log,
    store: FlashStore,
    done: AppendDone,
    sender: Sender<ReadEnd>,
    ends: Receiver<ReadEnd>,
    result: FlashReplay,
}

impl Replay {
    /// Gets the longest stored prefix of a request, then puts what is missing.
    fn serve(&mut self, request: &[u64]) {
        let ids: Vec<BlockId> = request.iter().map(|&number| request_id(number)).collect();
        let mut found = Vec::new();
        self.store.lookup(SPACE.space, &ids, 0, false, &mut found);
        let hits = found.iter().take_while(|found| found.is_some()).count();
        self.store
            .lookup(SPACE.space, &ids[..hits], 0, true, &mut found);
        self.read(&found, request);
        self.result.hits += hits as u64;
        self.result.references += request.len() as u64;
        self.put(&ids, request, hits);
        let blocks = self.store.stats().blocks;
        self.result.blocks_max = self.result.blocks_max.max(blocks);
    }

    fn read(&mut self, found: &[Option<Location>], request: &[u64]) {
        let sender = self.sender.clone();
        let done: ReadDone = Arc::new(move |end| {
            // The replay outlives its reads.
            let _ = sender.send(end);
        });
        let numbers: HashMap<BlockId, u64> = request
            .iter()
            .map(|&number| (request_id(number), number))
            .collect();
        let read = |location: &Location| ReadInto {
            tag: 0,
            location: *location,
            room: Box::new(PageMemory::new(location.room_bytes())),
            verify: true,
        };
        let reads = found.iter().flatten().map(read).collect();
        self.store.read(reads, &done);
        self.settle();
        for mut end in self.ends.try_iter() {
            assert!(end.result.is_ok(), "{:?}", end.result);
            let number = numbers[&end.location.id];
            let bytes = &end.room.as_mut_slice()[..8];
            assert_eq!(bytes, number.to_le_bytes(), "bytes of {number}");
        }
    }

    fn put(&mut self, ids: &[BlockId], request: &[u64], hits: usize) {
        let missing = ids.iter().zip(request).enumerate().skip(hits);
        let blocks = missing.map(|(position, (&id, &number))| Append {
            tag: number,
            key: PutKey {
                id,
                position: position as u32,
            },
            block: Box::new(block(number)),
        });
        let mut out = Vec::new();
        let done = Arc::clone(&self.done);
        self.store.append(
            &SPACE,
            Durability::Cache,
            blocks.collect(),
            0,
            &done,
            &mut out,
        );
        self.settle();
    }

    fn settle(&mut self) {
        while self.log.is_busy() {
            self.log.turn(Duration::ZERO);
        }
    }
}

/// A block that is its number and zeros, which take no memory on the disk.
fn block(number: u64) -> HeapBlock {
    let mut memory = PageMemory::new(REPLAY_BLOCK_BYTES as usize);
    memory[..8].copy_from_slice(&number.to_le_bytes());
    debug_assert!(memory.len().is_multiple_of(PAGE_BYTES));
    let crc = crc32c(&memory);
    HeapBlock::new(memory, REPLAY_BLOCK_BYTES as usize, crc, 1)
}
