//! The engine against a map: whatever the order of calls, it never returns other bytes than were
//! put, and without eviction it keeps exactly what the map keeps.

mod support;

use std::collections::HashMap;

use holdfast_engine::{Engine, PinnedBlock, Reservation, SpaceSpec};
use proptest::prelude::*;
use support::{count, engine, exists, fill, get, granted, id, is_filled, put, reserve, space};

#[derive(Debug, Clone)]
enum Call {
    Put(u32, u64),
    Get(u32, u64),
    Hold(u32, u64),
    LetGo,
    Delete(u32, u64),
    Drop(u32),
    Abort(u32, u64),
    Pin(u32, u64, u64),
    Sweep,
}

fn call(keys: u64) -> impl Strategy<Value = Call> {
    let space = 1u32..5;
    let key = 0..keys;
    prop_oneof![
        8 => (space.clone(), key.clone()).prop_map(|(space, key)| Call::Put(space, key)),
        6 => (space.clone(), key.clone()).prop_map(|(space, key)| Call::Get(space, key)),
        2 => (space.clone(), key.clone()).prop_map(|(space, key)| Call::Hold(space, key)),
        1 => Just(Call::LetGo),
        2 => (space.clone(), key.clone()).prop_map(|(space, key)| Call::Delete(space, key)),
        1 => space.clone().prop_map(Call::Drop),
        1 => (space.clone(), key.clone()).prop_map(|(space, key)| Call::Abort(space, key)),
        1 => (space, key, 0u64..20).prop_map(|(space, key, time)| Call::Pin(space, key, time)),
        1 => Just(Call::Sweep),
    ]
}

struct Run {
    engine: Engine,
    /// Seed of the bytes of each block that was put and not deleted since.
    model: HashMap<(u32, u64), u64>,
    held: Vec<(PinnedBlock, u64)>,
    now: u64,
    keeps_all: bool,
}

impl Run {
    fn new(extents: u64, keeps_all: bool) -> Self {
        Self {
            engine: engine(extents),
            model: HashMap::new(),
            held: Vec::new(),
            now: 1,
            keeps_all,
        }
    }

    /// Two tenants, four spaces, three block sizes.
    fn spec(number: u32) -> SpaceSpec {
        SpaceSpec {
            tenant: number % 2,
            ..space(
                number,
                [16 << 10, 64 << 10, 100_000, 64 << 10][number as usize % 4],
            )
        }
    }

    fn apply(&mut self, call: &Call) {
        self.now += 1;
        match *call {
            Call::Put(number, key) => self.put(number, key),
            Call::Get(number, key) => {
                self.read(number, key);
            }
            Call::Hold(number, key) => {
                if let Some(block) = self.read(number, key) {
                    self.held.push((block, self.model[&(number, key)]));
                }
            }
            Call::LetGo => {
                let held = self.held.drain(..).map(|(block, _)| block);
                self.engine.release_batch(held);
            }
            Call::Delete(number, key) => {
                let mut deleted = [false];
                self.engine.delete(number, &[id(key)], &mut deleted);
                let known = self.model.remove(&(number, key)).is_some();
                assert!(known || !deleted[0], "deleted what was not there");
                assert!(!self.keeps_all || deleted[0] == known);
            }
            Call::Drop(number) => {
                self.engine.drop_space(number);
                self.model.retain(|&(space, _), _| space != number);
            }
            Call::Abort(number, key) => {
                drop(reserve(
                    &self.engine,
                    &Self::spec(number),
                    &[id(key)],
                    0,
                    self.now,
                ));
            }
            Call::Pin(number, key, time) => {
                let until = if time == 0 { 0 } else { self.now + time };
                self.engine
                    .pin(number, &[id(key)], until, self.now, &mut [false]);
            }
            Call::Sweep => {
                self.engine.sweep(self.now, 1000);
            }
        }
        self.engine.verify();
        for (block, seed) in &self.held {
            assert!(is_filled(block.as_slice(), *seed), "a held block changed");
        }
    }

    fn put(&mut self, number: u32, key: u64) {
        let seed = self.now << 32 | key;
        let there = exists(&self.engine, &Self::spec(number), &[id(key)], self.now)[0];
        let stored = put(&self.engine, &Self::spec(number), id(key), seed, self.now);
        assert!(!(stored && there), "stored over a present block");
        assert!(!self.keeps_all || stored != there);
        if stored {
            self.model.insert((number, key), seed);
        }
    }

    fn read(&self, number: u32, key: u64) -> Option<PinnedBlock> {
        let block = get(&self.engine, &Self::spec(number), id(key), self.now);
        let seed = self.model.get(&(number, key));
        match (&block, seed) {
            (Some(block), Some(&seed)) => {
                assert!(is_filled(block.as_slice(), seed), "bytes of another put");
                assert_eq!(block.write_id(), seed as u32);
            }
            (Some(_), None) => panic!("a block that was never put, or was deleted"),
            (None, known) => assert!(!self.keeps_all || known.is_none(), "a block was lost"),
        }
        block
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn with_room_for_all_nothing_is_lost(calls in prop::collection::vec(call(20), 1..200)) {
        let mut run = Run::new(20, true);
        for call in &calls {
            run.apply(call);
        }
    }

    #[test]
    fn with_little_room_nothing_wrong_is_returned(
        calls in prop::collection::vec(call(60), 1..400),
    ) {
        let mut run = Run::new(4, false);
        for call in &calls {
            run.apply(call);
        }
    }
}

#[test]
fn a_batch_of_one_request_has_a_result_for_every_key() {
    let engine = engine(2);
    let spec = space(1, 64 << 10);
    let ids: Vec<_> = (0..40).map(id).collect();
    let results = reserve(&engine, &spec, &ids, 1, 0);
    let granted_slots = results
        .iter()
        .filter(|result| matches!(result, Reservation::Write(_)))
        .count();
    assert_eq!(granted_slots, 32, "all slots of the arena");
    assert!(
        results[32..]
            .iter()
            .all(|result| matches!(result, Reservation::Busy))
    );
    assert_eq!(engine.stats().busy, 8);
    drop(results);
    assert_eq!(engine.stats().used_bytes, 0);
    assert_eq!(engine.stats().aborted, 32);
    engine.verify();
}

#[test]
fn commit_batch_makes_all_visible() {
    let engine = engine(2);
    let spec = space(1, 4096);
    let ids: Vec<_> = (0..100).map(id).collect();
    let slots = reserve(&engine, &spec, &ids, 1, 0).into_iter().map(granted);
    let committed = engine.commit_batch(slots.map(|mut slot| {
        fill(slot.as_mut_slice(), 5);
        (slot, 77)
    }));
    assert!(committed.into_iter().all(|done| done));
    assert_eq!(count(&engine, &spec, 0..100, 0), 100);
    assert_eq!(
        get(&engine, &spec, id(3), 0).expect("a stored block").crc(),
        77
    );
    engine.verify();
}
