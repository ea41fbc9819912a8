use std::time::{Duration, Instant};

use thiserror::Error;

use super::request_id;
use crate::{BlockId, Engine, PutKey, Reservation, SpaceSpec, WriteSlot};

/// Keys of one batch.
const BATCH_KEYS: u64 = 256;

/// A fill that did not store what it should.
#[derive(Debug, Error)]
#[error("{stored} of {asked} blocks were stored; give the engine room for all")]
pub struct FillError {
    /// Blocks asked for.
    pub asked: u64,
    /// Blocks stored.
    pub stored: u64,
}

/// What a fill took.
#[derive(Debug, Clone, Copy)]
pub struct FillResult {
    /// Time of all calls.
    pub elapsed: Duration,
    /// Longest single batch.
    pub batch_max: Duration,
    /// Largest `index_bytes` seen between batches.
    pub index_bytes_max: u64,
}

/// What lookups took.
#[derive(Debug, Clone, Copy)]
pub struct LookupResult {
    /// Time of all calls.
    pub elapsed: Duration,
    /// Keys looked up.
    pub keys: u64,
    /// Keys found.
    pub found: u64,
}

/// Stores blocks `first` to `first + count - 1` (named by [`request_id`]) without touching their
/// payload, and watches the index grow.
///
/// # Errors
/// Not all were stored.
pub fn fill_engine(
    engine: &Engine,
    spec: &SpaceSpec,
    first: u64,
    count: u64,
) -> Result<FillResult, FillError> {
    let mut writes: Vec<PutKey> = Vec::new();
    let mut reservations: Vec<Reservation> = Vec::new();
    let mut result = FillResult {
        elapsed: Duration::ZERO,
        batch_max: Duration::ZERO,
        index_bytes_max: 0,
    };
    let mut stored = 0;
    let mut next = first;
    while next < first + count {
        let last = (next + BATCH_KEYS).min(first + count);
        writes.clear();
        writes.extend((next..last).map(|number| PutKey {
            id: request_id(number),
            position: (number - next) as u32,
        }));
        next = last;
        let begin = Instant::now();
        engine.reserve(spec, &writes, 1, 0, &mut reservations);
        stored += commit_granted(engine, &mut reservations);
        let took = begin.elapsed();
        result.elapsed += took;
        result.batch_max = result.batch_max.max(took);
        if next.is_multiple_of(BATCH_KEYS * 256) {
            result.index_bytes_max = result.index_bytes_max.max(engine.index_bytes());
        }
    }
    result.index_bytes_max = result.index_bytes_max.max(engine.index_bytes());
    if stored < count {
        return Err(FillError {
            asked: count,
            stored,
        });
    }
    Ok(result)
}

fn commit_granted(engine: &Engine, reservations: &mut Vec<Reservation>) -> u64 {
    let slots: Vec<(WriteSlot, u32)> = reservations
        .drain(..)
        .filter_map(|reservation| match reservation {
            Reservation::Write(slot) => Some((slot, 0)),
            _ => None,
        })
        .collect();
    let committed = engine.commit_batch(slots);
    committed.into_iter().filter(|&done| done).count() as u64
}

/// Looks up `batches` batches of 256 random ids, half of them among the `stored` first blocks and
/// half of them absent.
#[must_use]
pub fn lookup_engine(engine: &Engine, space: u32, stored: u64, batches: u64) -> LookupResult {
    let mut ids: Vec<BlockId> = vec![[0; 16]; BATCH_KEYS as usize];
    let mut out = vec![false; BATCH_KEYS as usize];
    let mut result = LookupResult {
        elapsed: Duration::ZERO,
        keys: 0,
        found: 0,
    };
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    for _ in 0..batches {
        for (key, id) in ids.iter_mut().enumerate() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let absent = (key % 2) as u64 * (1 << 40);
            *id = request_id(absent + random % stored.max(1));
        }
        let begin = Instant::now();
        engine.exists(space, &ids, 0, &mut out);
        result.elapsed += begin.elapsed();
        result.keys += BATCH_KEYS;
        result.found += out.iter().filter(|&&found| found).count() as u64;
    }
    result
}
