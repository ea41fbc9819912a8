//! What every [`ChunkStore`] must do; each implementation's tests call [`run`].
//!
//! The suite panics with the expectation that failed. It uses spaces from
//! [`SPACE`] on and blocks of [`BLOCK_BYTES`]; the store needs room for [`BLOCKS`] of them.

use crate::{
    BlockId, BlockSlot, ChunkStore, Millis, PutKey, RefusedReason, Reservation, SpaceSpec,
    StoredBlock,
};

/// First space that the suite uses.
pub const SPACE: u32 = 1_000_000;
/// Size of the suite's blocks, bytes.
pub const BLOCK_BYTES: u32 = 4096;
/// Blocks that the store must have room for.
pub const BLOCKS: usize = 64;

/// Runs every case against stores that `make` makes, each of them empty.
pub fn run<S: ChunkStore>(make: impl Fn() -> S) {
    what_is_put_is_got(&make());
    an_uncommitted_block_is_invisible(&make());
    a_present_block_is_not_written_again(&make());
    racing_puts_are_busy(&make());
    a_duplicate_in_a_batch_is_told(&make());
    a_deleted_block_is_gone(&make());
    spaces_do_not_see_each_other(&make());
    a_dropped_space_is_gone(&make());
    time_to_live_ends(&make());
    a_held_block_outlives_its_deletion(&make());
    a_known_space_keeps_its_block_size(&make());
    empty_batches_are_fine(&make());
}

fn spec(number: u32) -> SpaceSpec {
    SpaceSpec {
        tenant: 1,
        space: SPACE + number,
        block_bytes: BLOCK_BYTES,
        ttl_s: 0,
        priority: 0,
    }
}

fn id(number: u8) -> BlockId {
    let mut id = [number.wrapping_mul(37); 16];
    id[3] = number;
    id
}

fn keys(ids: &[BlockId]) -> Vec<PutKey> {
    let key = |(position, &id): (usize, &BlockId)| PutKey {
        id,
        position: position as u32,
    };
    ids.iter().enumerate().map(key).collect()
}

fn reserve<S: ChunkStore>(
    store: &S,
    spec: &SpaceSpec,
    ids: &[BlockId],
    write_id: u32,
    now: Millis,
) -> Vec<Reservation<S::Slot>> {
    let mut out = Vec::new();
    store.reserve(spec, &keys(ids), write_id, now, &mut out);
    assert_eq!(out.len(), ids.len(), "one result for each key");
    out
}

/// Puts blocks whose bytes are all `fill`, with `crc` `fill` as well.
fn put<S: ChunkStore>(store: &S, spec: &SpaceSpec, ids: &[BlockId], fill: u8, now: Millis) {
    for reservation in reserve(store, spec, ids, u32::from(fill), now) {
        let Reservation::Write(mut slot) = reservation else {
            panic!("room for a new block");
        };
        assert_eq!(slot.as_mut_slice().len(), spec.block_bytes as usize);
        slot.as_mut_slice().fill(fill);
        assert!(slot.commit(u32::from(fill)), "commit of a reserved slot");
    }
}

fn exists<S: ChunkStore>(store: &S, spec: &SpaceSpec, ids: &[BlockId], now: Millis) -> Vec<bool> {
    let mut out = vec![false; ids.len()];
    store.exists(spec.space, ids, now, &mut out);
    out
}

fn get<S: ChunkStore>(
    store: &S,
    spec: &SpaceSpec,
    ids: &[BlockId],
    now: Millis,
) -> Vec<Option<S::Block>> {
    let mut out = Vec::new();
    store.get(spec.space, ids, now, &mut out);
    assert_eq!(out.len(), ids.len(), "one entry for each id");
    out
}

fn what_is_put_is_got<S: ChunkStore>(store: &S) {
    let ids: Vec<BlockId> = (0..BLOCKS as u8).map(id).collect();
    for (number, id) in ids.iter().enumerate() {
        put(store, &spec(0), &[*id], number as u8, 0);
    }
    assert!(exists(store, &spec(0), &ids, 1).iter().all(|&there| there));
    for (number, block) in get(store, &spec(0), &ids, 1).into_iter().enumerate() {
        let block = block.expect("a stored block");
        assert!(block.as_slice().iter().all(|&byte| byte == number as u8));
        assert_eq!(block.as_slice().len(), BLOCK_BYTES as usize);
        assert_eq!(block.crc(), number as u32);
        assert_eq!(block.write_id(), number as u32);
    }
    assert!(get(store, &spec(0), &[id(200)], 1)[0].is_none());
}

fn an_uncommitted_block_is_invisible<S: ChunkStore>(store: &S) {
    let slots = reserve(store, &spec(0), &[id(1)], 1, 0);
    assert_eq!(exists(store, &spec(0), &[id(1)], 0), [false]);
    assert!(get(store, &spec(0), &[id(1)], 0)[0].is_none());
    drop(slots);
    put(store, &spec(0), &[id(1)], 9, 0);
    assert_eq!(exists(store, &spec(0), &[id(1)], 0), [true]);
}

fn a_present_block_is_not_written_again<S: ChunkStore>(store: &S) {
    put(store, &spec(0), &[id(1)], 1, 0);
    let again = reserve(store, &spec(0), &[id(1)], 2, 0);
    assert!(matches!(again[0], Reservation::Present));
    let block = get(store, &spec(0), &[id(1)], 0).remove(0);
    assert_eq!(block.expect("the first put's block").write_id(), 1);
}

fn racing_puts_are_busy<S: ChunkStore>(store: &S) {
    let first = reserve(store, &spec(0), &[id(1)], 1, 0);
    let second = reserve(store, &spec(0), &[id(1)], 2, 0);
    assert!(matches!(second[0], Reservation::Busy));
    drop(first);
    put(store, &spec(0), &[id(1)], 3, 0);
}

fn a_duplicate_in_a_batch_is_told<S: ChunkStore>(store: &S) {
    let results = reserve(store, &spec(0), &[id(1), id(2), id(1)], 1, 0);
    assert!(matches!(results[0], Reservation::Write(_)));
    assert!(matches!(results[1], Reservation::Write(_)));
    assert!(matches!(results[2], Reservation::Duplicate));
}

fn a_deleted_block_is_gone<S: ChunkStore>(store: &S) {
    put(store, &spec(0), &[id(1), id(2)], 1, 0);
    let mut deleted = [false; 3];
    store.delete(spec(0).space, &[id(1), id(3), id(1)], &mut deleted);
    assert_eq!(deleted, [true, false, false]);
    assert_eq!(exists(store, &spec(0), &[id(1), id(2)], 0), [false, true]);
    put(store, &spec(0), &[id(1)], 2, 0);
}

fn spaces_do_not_see_each_other<S: ChunkStore>(store: &S) {
    put(store, &spec(0), &[id(1)], 1, 0);
    assert_eq!(exists(store, &spec(1), &[id(1)], 0), [false]);
    put(store, &spec(1), &[id(1)], 2, 0);
    let block = get(store, &spec(0), &[id(1)], 0).remove(0);
    assert_eq!(block.expect("the first space's block").as_slice()[0], 1);
}

fn a_dropped_space_is_gone<S: ChunkStore>(store: &S) {
    put(store, &spec(0), &[id(1)], 1, 0);
    put(store, &spec(1), &[id(1)], 1, 0);
    let Reservation::Write(slot) = reserve(store, &spec(0), &[id(2)], 1, 0).remove(0) else {
        panic!("room for a new block");
    };
    store.drop_space(spec(0).space);
    assert!(!slot.commit(1), "no commit into a dropped space");
    assert_eq!(exists(store, &spec(0), &[id(1), id(2)], 0), [false, false]);
    assert_eq!(exists(store, &spec(1), &[id(1)], 0), [true]);
}

fn time_to_live_ends<S: ChunkStore>(store: &S) {
    let spec = SpaceSpec {
        ttl_s: 10,
        ..spec(0)
    };
    put(store, &spec, &[id(1)], 1, 100_000);
    assert_eq!(exists(store, &spec, &[id(1)], 109_000), [true]);
    assert_eq!(exists(store, &spec, &[id(1)], 110_000), [false]);
    assert!(get(store, &spec, &[id(1)], 110_000)[0].is_none());
    put(store, &spec, &[id(1)], 2, 110_000);
    assert_eq!(exists(store, &spec, &[id(1)], 119_000), [true]);
}

fn a_held_block_outlives_its_deletion<S: ChunkStore>(store: &S) {
    put(store, &spec(0), &[id(1)], 7, 0);
    let held = get(store, &spec(0), &[id(1)], 0);
    store.delete(spec(0).space, &[id(1)], &mut [false]);
    put(store, &spec(0), &[id(1)], 8, 0);
    let held = held[0].as_ref().expect("a stored block").as_slice();
    assert!(held.iter().all(|&byte| byte == 7), "a held block changed");
}

fn a_known_space_keeps_its_block_size<S: ChunkStore>(store: &S) {
    put(store, &spec(0), &[id(1)], 1, 0);
    let other = SpaceSpec {
        block_bytes: BLOCK_BYTES / 2,
        ..spec(0)
    };
    let result = reserve(store, &other, &[id(2)], 1, 0);
    let expected = RefusedReason::SpaceMismatch {
        tenant: 1,
        block_bytes: BLOCK_BYTES,
    };
    assert!(matches!(result[0], Reservation::Refused(reason) if reason == expected));
}

fn empty_batches_are_fine<S: ChunkStore>(store: &S) {
    assert!(reserve(store, &spec(0), &[], 1, 0).is_empty());
    assert!(exists(store, &spec(0), &[], 0).is_empty());
    assert!(get(store, &spec(0), &[], 0).is_empty());
    store.delete(spec(0).space, &[], &mut []);
}
