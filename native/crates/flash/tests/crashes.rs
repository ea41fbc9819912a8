//! Random work, and the power fails somewhere in it: what was acknowledged holds.
//!
//! A failure prints its seed; `FLASH_SEED=seed` runs that one alone, `FLASH_SEEDS=count` more.

mod support;

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use holdfast_engine::SpaceSpec;
use holdfast_flash::{AppendFailure, Appended, Durability, FlashConfig};
use support::{Stepped, config, spec};

const CACHE_SPACE: u32 = 2;
const DURABLE_SPACE: u32 = 3;
const TTL_SPACE: u32 = 4;
/// Numbers of cache blocks begin here, so that a number tells its space.
const CACHE_FROM: u64 = 100_000;
/// Numbers of cache blocks with a time to live begin here.
const TTL_FROM: u64 = 200_000;
const TTL_S: u32 = 60;
const SEEDS: u64 = 30;
const ROUNDS: u64 = 4;

struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % count
    }
}

/// What must be found of a block after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    There,
    Gone,
    /// It was not acknowledged, or may be evicted.
    Either,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    expected: Expected,
    /// Grows with every append and delete that is asked for.
    version: u64,
    appended: bool,
    /// When it was appended last.
    at: u64,
}

type Deletes = Vec<(Vec<(u64, u64)>, Receiver<Result<(), AppendFailure>>)>;

struct Work {
    bed: Stepped,
    random: Random,
    blocks: BTreeMap<u64, Known>,
    deletes: Deletes,
    write_id: u32,
}

fn space_of(number: u64) -> u32 {
    match number {
        TTL_FROM.. => TTL_SPACE,
        CACHE_FROM.. => CACHE_SPACE,
        _ => DURABLE_SPACE,
    }
}

impl Work {
    fn asked(&mut self, number: u64, appended: bool) -> u64 {
        let known = self.blocks.entry(number).or_insert(Known {
            expected: Expected::Gone,
            version: 0,
            appended: false,
            at: 0,
        });
        if appended {
            known.at = self.bed.now;
        }
        known.expected = Expected::Either;
        known.version += 1;
        known.appended = appended;
        known.version
    }

    fn append(&mut self) {
        let (from, numbers_max) = match self.random.below(7) {
            0 | 1 => (0, 300),
            2 => (TTL_FROM, 300),
            _ => (CACHE_FROM, 3000),
        };
        let count = 1 + self.random.below(30);
        let mut numbers: Vec<u64> = (0..count)
            .map(|_| from + self.random.below(numbers_max))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.write_id += 1;
        let durability = match from {
            0 => Durability::Durable,
            _ => Durability::Cache,
        };
        let spec = SpaceSpec {
            ttl_s: if from == TTL_FROM { TTL_S } else { 0 },
            ..spec(space_of(from))
        };
        let appended = self.bed.append(&spec, durability, &numbers, self.write_id);
        for (number, appended) in numbers.into_iter().zip(appended) {
            if appended == Appended::Queued {
                self.asked(number, true);
            }
        }
    }

    fn delete(&mut self) {
        let from = self.random.below(300);
        let numbers: Vec<u64> = match self.random.below(3) {
            0 => (from..from + 20)
                .map(|number| CACHE_FROM + number)
                .collect(),
            _ => (from..from + 20).collect(),
        };
        let (_, end) = self.bed.delete(space_of(numbers[0]), &numbers);
        let versions = numbers
            .into_iter()
            .filter(|number| self.blocks.contains_key(number))
            .collect::<Vec<u64>>();
        let versions = versions
            .into_iter()
            .map(|number| (number, self.asked(number, false)))
            .collect();
        self.deletes.push((versions, end));
    }

    fn take_ends(&mut self) {
        let ends: Vec<_> = self.bed.ends.try_iter().collect();
        for (number, result) in ends {
            if let Some(known) = self.blocks.get_mut(&number)
                && known.appended
            {
                let durable = number < CACHE_FROM;
                known.expected = match result {
                    Ok(()) if durable => Expected::There,
                    _ => Expected::Either,
                };
            }
        }
        let blocks = &mut self.blocks;
        self.deletes.retain(|(versions, end)| {
            let Ok(result) = end.try_recv() else {
                return true;
            };
            for (number, version) in versions {
                if let Some(known) = blocks.get_mut(number)
                    && known.version == *version
                    && result.is_ok()
                {
                    known.expected = Expected::Gone;
                }
            }
            false
        });
    }

    fn step(&mut self) {
        self.bed.now += self.random.below(1000);
        match self.random.below(12) {
            0..=5 => self.append(),
            6 => self.delete(),
            7 => {
                let from = CACHE_FROM + self.random.below(3000);
                let numbers: Vec<u64> = (from..from + 30).collect();
                self.bed.locate(CACHE_SPACE, &numbers, true);
            }
            8 if self.random.below(20) == 0 => {
                self.bed
                    .image
                    .with_faults(|faults| faults.writes_failing = 1);
            }
            9 if self.random.below(100) == 0 => {
                self.bed
                    .image
                    .with_faults(|faults| faults.syncs_failing = 1);
            }
            _ => {}
        }
        for _ in 0..self.random.below(6) {
            self.bed.turn();
            self.take_ends();
        }
    }

    /// Compares what is there with what must be.
    fn compare(&mut self, what: &str) {
        let numbers: Vec<u64> = self.blocks.keys().copied().collect();
        for number in numbers {
            let space = space_of(number);
            let found = self.bed.found(space, &[number])[0];
            let known = self.blocks[&number];
            match known.expected {
                Expected::There => assert!(found, "{what}: block {number} is lost: {known:?}"),
                Expected::Gone => assert!(!found, "{what}: block {number} came back: {known:?}"),
                Expected::Either => {}
            }
            let over = space == TTL_SPACE && self.bed.now >= known.at + u64::from(TTL_S) * 1000;
            assert!(!(found && over), "{what}: block {number} outlived its time");
            if found {
                self.bed.assert_whole(space, number, what);
            }
            let expected = match (found, number < CACHE_FROM) {
                (false, _) => Expected::Gone,
                (true, true) => Expected::There,
                (true, false) => Expected::Either,
            };
            self.blocks.insert(number, Known { expected, ..known });
        }
    }
}

fn settings(random: &mut Random) -> FlashConfig {
    FlashConfig {
        writes_in_flight_max: 1 + random.below(4) as u32,
        batch_bytes_max: 64 << (10 + random.below(4)),
        ..config()
    }
}

fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut work = Work {
        bed: Stepped::create(settings(&mut random), 14, seed),
        random,
        blocks: BTreeMap::new(),
        deletes: Vec::new(),
        write_id: 0,
    };
    for round in 0..ROUNDS {
        let operations = 20 + work.random.below(1200);
        work.bed.image.with_faults(|faults| {
            faults.slow = true;
            faults.operations_left = Some(operations);
        });
        let mut steps = 0;
        while !work.bed.image.is_off() && steps < 2000 {
            work.step();
            steps += 1;
        }
        let settings = settings(&mut work.random);
        let (bed, _) = work.bed.crash(settings, seed ^ round << 32);
        work.bed = bed;
        work.deletes.clear();
        work.compare(&format!("seed {seed}, round {round}"));
    }
    work.bed
        .put(&spec(CACHE_SPACE), Durability::Cache, &[CACHE_FROM * 2]);
    work.bed
        .assert_whole(CACHE_SPACE, CACHE_FROM * 2, "after all crashes");
}

#[test]
fn what_was_acknowledged_survives_any_crash() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("FLASH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..1 + number("FLASH_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        println!("replay with FLASH_SEED={seed}");
        run(seed);
    }
}
