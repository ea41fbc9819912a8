use thiserror::Error;

use crate::{
    BlockId, Engine, EngineConfig, EngineError, EvictionConfig, PinnedBlock, PutKey, Reservation,
    SpaceSpec,
};

/// Size of each block of a replay, bytes: the smallest slot there is.
pub const REPLAY_BLOCK_BYTES: u32 = 64;

const EXTENT_BYTES: u64 = 1 << 20;
const SLOTS_PER_EXTENT: u64 = EXTENT_BYTES / REPLAY_BLOCK_BYTES as u64;
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
    /// The engine could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No block fits.
    #[error("capacity is 0 blocks; it must be at least 1")]
    NoCapacity,
}

/// What a replay through the engine counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayResult {
    /// Blocks found with all blocks before them.
    pub hits: u64,
    /// Blocks asked for.
    pub references: u64,
    /// Blocks that the engine evicted.
    pub evictions: u64,
    /// Most blocks that were stored at once.
    pub blocks_max: u64,
}

/// The 16-byte id that a replay gives to block `number` of the trace.
#[must_use]
pub fn request_id(number: u64) -> BlockId {
    let mix = |value: u64| {
        let value = (value ^ (value >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        (value ^ (value >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53) ^ (value >> 31)
    };
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mix(number.wrapping_add(1)).to_le_bytes());
    id[8..].copy_from_slice(&mix(!number).to_le_bytes());
    id
}

/// Replays requests through the engine itself, with the eviction that data nodes run.
///
/// The engine's room is exactly `capacity_blocks` slots, all of them in use when it evicts: whole
/// extents, and a tenant's limit for the rest of the last one. Each block carries its number, and
/// each block read is compared with it.
///
/// # Errors
/// The engine could not be made, or no block fits.
///
/// # Panics
/// When the engine returns bytes of another block.
pub fn replay_engine<'a>(
    requests: impl IntoIterator<Item = &'a [u64]>,
    capacity_blocks: u64,
    eviction: EvictionConfig,
) -> Result<ReplayResult, ReplayError> {
    if capacity_blocks == 0 {
        return Err(ReplayError::NoCapacity);
    }
    let engine = Engine::new(EngineConfig {
        arena_bytes: capacity_blocks.div_ceil(SLOTS_PER_EXTENT) * EXTENT_BYTES,
        extent_bytes: EXTENT_BYTES,
        prefault: false,
        huge_pages: false,
        eviction,
        ..EngineConfig::default()
    })?;
    let limit_bytes = capacity_blocks * u64::from(REPLAY_BLOCK_BYTES);
    engine.set_tenant_limit(SPACE.tenant, Some(limit_bytes));
    let mut replay = Replay {
        engine,
        ids: Vec::new(),
        found: Vec::new(),
        writes: Vec::new(),
        reservations: Vec::new(),
        result: ReplayResult {
            hits: 0,
            references: 0,
            evictions: 0,
            blocks_max: 0,
        },
    };
    for (turn, request) in requests.into_iter().enumerate() {
        replay.serve(request, turn as u64);
    }
    let stats = replay.engine.stats();
    replay.result.evictions = stats.evictions;
    Ok(replay.result)
}

struct Replay {
    engine: Engine,
    ids: Vec<BlockId>,
    found: Vec<Option<PinnedBlock>>,
    writes: Vec<PutKey>,
    reservations: Vec<Reservation>,
    result: ReplayResult,
}

impl Replay {
    /// Gets the longest stored prefix of a request, then puts what is missing.
    fn serve(&mut self, request: &[u64], now: u64) {
        self.ids.clear();
        self.ids
            .extend(request.iter().map(|&number| request_id(number)));
        let mut stored = vec![false; request.len()];
        self.engine.exists(SPACE.space, &self.ids, now, &mut stored);
        let hits = stored.iter().take_while(|&&stored| stored).count();
        self.engine
            .get(SPACE.space, &self.ids[..hits], now, &mut self.found);
        for (block, &number) in self.found.iter().zip(request) {
            let block = block.as_ref().expect("what exists can be got");
            assert_eq!(
                block.as_slice()[..8],
                number.to_le_bytes(),
                "bytes of {number}"
            );
        }
        self.engine.release_batch(self.found.drain(..).flatten());
        self.result.hits += hits as u64;
        self.result.references += request.len() as u64;
        self.put(request, hits, now);
        let blocks = self.engine.stats().blocks;
        self.result.blocks_max = self.result.blocks_max.max(blocks);
    }

    fn put(&mut self, request: &[u64], hits: usize, now: u64) {
        self.writes.clear();
        let missing = self.ids[hits..].iter().enumerate();
        self.writes.extend(missing.map(|(step, &id)| PutKey {
            id,
            position: (hits + step) as u32,
        }));
        let write_id = now as u32;
        self.engine
            .reserve(&SPACE, &self.writes, write_id, now, &mut self.reservations);
        let numbers = request[hits..].iter();
        let slots = self.reservations.drain(..).zip(numbers);
        let written = slots.filter_map(|(reservation, number)| match reservation {
            Reservation::Write(mut slot) => {
                slot.as_mut_slice()[..8].copy_from_slice(&number.to_le_bytes());
                Some((slot, 0))
            }
            _ => None,
        });
        self.engine.commit_batch(written);
    }
}
