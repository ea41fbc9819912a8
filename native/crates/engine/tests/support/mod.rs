//! Small engines, spaces and blocks for the engine's tests.
#![allow(dead_code, reason = "each test file uses a part")]

use holdfast_engine::{
    BlockId, Engine, EngineConfig, Millis, PinnedBlock, PutKey, Reservation, SpaceSpec, WriteSlot,
};
use holdfast_wire::checksum::crc32c;

/// One MiB.
pub const MIB: u64 = 1 << 20;

/// An engine of so many extents of 1 MiB.
pub fn engine(extents: u64) -> Engine {
    Engine::new(config(extents)).expect("a small engine")
}

/// Configuration of [`engine`].
pub fn config(extents: u64) -> EngineConfig {
    EngineConfig {
        arena_bytes: extents * MIB,
        extent_bytes: MIB,
        huge_pages: false,
        ..EngineConfig::default()
    }
}

/// A space of tenant 1 without time to live.
pub fn space(number: u32, block_bytes: u32) -> SpaceSpec {
    SpaceSpec {
        tenant: 1,
        space: number,
        block_bytes,
        ttl_s: 0,
        priority: 0,
    }
}

/// Id of block `number`.
pub fn id(number: u64) -> BlockId {
    holdfast_engine::measure::request_id(number)
}

/// Reserves ids whose positions count from 0.
pub fn reserve(
    engine: &Engine,
    spec: &SpaceSpec,
    ids: &[BlockId],
    write_id: u32,
    now: Millis,
) -> Vec<Reservation> {
    let keys: Vec<PutKey> = ids
        .iter()
        .enumerate()
        .map(|(position, &id)| PutKey {
            id,
            position: position as u32,
        })
        .collect();
    let mut out = Vec::new();
    engine.reserve(spec, &keys, write_id, now, &mut out);
    assert_eq!(out.len(), ids.len());
    out
}

/// The slot of a reservation that must have been granted.
pub fn granted(reservation: Reservation) -> WriteSlot {
    match reservation {
        Reservation::Write(slot) => slot,
        other => panic!("expected room for a block, got {other:?}"),
    }
}

/// Puts one block whose bytes follow from `seed`; whether it is stored by this call.
pub fn put(engine: &Engine, spec: &SpaceSpec, id: BlockId, seed: u64, now: Millis) -> bool {
    match reserve(engine, spec, &[id], seed as u32, now).remove(0) {
        Reservation::Write(mut slot) => {
            fill(slot.as_mut_slice(), seed);
            let crc = crc32c(slot.as_mut_slice());
            slot.commit(crc)
        }
        _ => false,
    }
}

/// Puts one batch as one prefix; how many were stored by this call.
pub fn put_prefix(engine: &Engine, spec: &SpaceSpec, ids: &[BlockId], now: Millis) -> usize {
    let reservations = reserve(engine, spec, ids, 1, now);
    let slots = reservations.into_iter().filter_map(|result| match result {
        Reservation::Write(slot) => Some((slot, 0)),
        _ => None,
    });
    engine.commit_batch(slots).len()
}

/// Fills bytes that follow from `seed`.
pub fn fill(bytes: &mut [u8], seed: u64) {
    let mut value = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for chunk in bytes.chunks_mut(8) {
        value = value
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(seed);
        chunk.copy_from_slice(&value.to_le_bytes()[..chunk.len()]);
    }
}

/// Whether bytes are those that `fill` makes of `seed`.
pub fn is_filled(bytes: &[u8], seed: u64) -> bool {
    let mut expected = vec![0; bytes.len()];
    fill(&mut expected, seed);
    bytes == expected
}

/// Gets one block.
pub fn get(engine: &Engine, spec: &SpaceSpec, id: BlockId, now: Millis) -> Option<PinnedBlock> {
    let mut out = Vec::new();
    engine.get(spec.space, &[id], now, &mut out);
    out.remove(0)
}

/// Which of the ids are there.
pub fn exists(engine: &Engine, spec: &SpaceSpec, ids: &[BlockId], now: Millis) -> Vec<bool> {
    let mut out = vec![false; ids.len()];
    engine.exists(spec.space, ids, now, &mut out);
    out
}

/// How many of the blocks numbered so are there.
pub fn count(
    engine: &Engine,
    spec: &SpaceSpec,
    numbers: impl IntoIterator<Item = u64>,
    now: Millis,
) -> usize {
    let ids: Vec<BlockId> = numbers.into_iter().map(id).collect();
    exists(engine, spec, &ids, now)
        .into_iter()
        .filter(|&there| there)
        .count()
}
