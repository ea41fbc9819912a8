//! Many threads on one small engine: whatever is returned is what somebody put under that id.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use holdfast_engine::{Engine, Reservation, SpaceSpec};
use holdfast_wire::checksum::crc32c;
use support::{engine, fill, id, is_filled, reserve, space};

const THREADS: u64 = 4;
const ROUNDS: u64 = 6000;
const KEYS: u64 = 300;

struct Worker {
    engine: Arc<Engine>,
    random: u64,
    hits: Arc<AtomicU64>,
}

impl Worker {
    fn next(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    /// Spaces of three tenants and two block sizes.
    fn spec(&mut self) -> SpaceSpec {
        let number = self.next(6) as u32;
        SpaceSpec {
            tenant: number / 2,
            ..space(
                number,
                if number.is_multiple_of(2) {
                    8 << 10
                } else {
                    20_000
                },
            )
        }
    }

    fn seed(spec: &SpaceSpec, key: u64, write_id: u64) -> u64 {
        u64::from(spec.space) << 48 | key << 24 | write_id
    }

    fn run(&mut self) {
        for round in 0..ROUNDS {
            let spec = self.spec();
            match self.next(20) {
                0..8 => self.put(&spec, round),
                8..15 => self.get(&spec, round),
                15 | 16 => self.locate(&spec, round),
                17 => {
                    let ids = [id(self.next(KEYS)), id(self.next(KEYS))];
                    self.engine.delete(spec.space, &ids, &mut [false; 2]);
                }
                18 => {
                    let ids = [id(self.next(KEYS))];
                    let until = round + self.next(50);
                    self.engine
                        .pin(spec.space, &ids, until, round, &mut [false]);
                }
                _ if self.next(20) == 0 => self.engine.drop_space(spec.space),
                _ => {
                    self.engine.sweep(round, 100);
                }
            }
        }
    }

    fn put(&mut self, spec: &SpaceSpec, round: u64) {
        let first = self.next(KEYS);
        let keys: Vec<u64> = (first..first + 1 + self.next(8)).collect();
        let ids: Vec<_> = keys.iter().map(|&key| id(key)).collect();
        let write_id = self.next(1 << 20) as u32;
        let results = reserve(&self.engine, spec, &ids, write_id, round);
        let mut written = Vec::new();
        for (result, key) in results.into_iter().zip(keys) {
            let Reservation::Write(mut slot) = result else {
                continue;
            };
            fill(
                slot.as_mut_slice(),
                Self::seed(spec, key, u64::from(write_id)),
            );
            if self.next(10) > 0 {
                let crc = crc32c(slot.as_mut_slice());
                written.push((slot, crc));
            }
        }
        self.engine.commit_batch(written);
    }

    fn get(&mut self, spec: &SpaceSpec, round: u64) {
        let first = self.next(KEYS);
        let keys: Vec<u64> = (first..first + 8).collect();
        let ids: Vec<_> = keys.iter().map(|&key| id(key)).collect();
        let mut blocks = Vec::new();
        self.engine.get(spec.space, &ids, round, &mut blocks);
        for (block, key) in blocks.iter().zip(keys) {
            let Some(block) = block else {
                continue;
            };
            let seed = Self::seed(spec, key, u64::from(block.write_id()));
            assert!(is_filled(block.as_slice(), seed), "bytes of another put");
            assert_eq!(crc32c(block.as_slice()), block.crc());
            self.hits.fetch_add(1, Ordering::Relaxed);
        }
        self.engine.release_batch(blocks.into_iter().flatten());
    }

    /// What is located may be overwritten any time, but never by another tenant's put.
    fn locate(&mut self, spec: &SpaceSpec, round: u64) {
        let mut found = Vec::new();
        let ids = [id(self.next(KEYS))];
        self.engine.locate(spec.space, &ids, round, &mut found);
        if let Some(place) = found[0] {
            assert_eq!(place.block_bytes, spec.block_bytes);
            let wrong_tenant = spec.tenant + 1;
            let view = self
                .engine
                .export_view(place.extent, place.view, wrong_tenant);
            assert!(view.is_none(), "a view of another tenant");
            self.engine
                .export_view(place.extent, place.view, spec.tenant);
        }
    }
}

#[test]
fn threads_never_see_wrong_bytes() {
    let seed: u64 = 0x5EED_0001;
    println!("seed {seed:#x}");
    let engine = Arc::new(engine(4));
    let hits = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let mut worker = Worker {
                engine: engine.clone(),
                random: seed.wrapping_mul(number * 2 + 1),
                hits: hits.clone(),
            };
            thread::spawn(move || worker.run())
        })
        .collect();
    for thread in threads {
        thread.join().expect("a worker that saw no wrong bytes");
    }
    engine.verify();
    let stats = engine.stats();
    assert!(stats.extents_moved > 0 && stats.evictions > 0, "{stats:?}");
    assert!(hits.load(Ordering::Relaxed) > 1000);
    assert_eq!((stats.pins, stats.blocks_in_flight), (0, 0));
}
