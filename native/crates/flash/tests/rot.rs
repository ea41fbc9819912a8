//! Rotten bytes anywhere: a store opens or says why not, and never hands out wrong ones.
//!
//! A failure prints its seed; `FLASH_SEED=seed` runs that one alone.

mod support;

use holdfast_flash::{ConfigError, Durability, FlashConfig, FlashError};
use support::{Stepped, config, spec};

const SEEDS: u64 = 40;
const SEGMENT_BYTES: u64 = 4 << 20;
const SEGMENTS: u64 = 8;

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random >> 11
}

/// A byte that matters: of a superblock, a head, a footer, or of the first batches of a segment.
fn place(random: &mut u64) -> u64 {
    let segment = (1 + next(random) % SEGMENTS) * SEGMENT_BYTES;
    match next(random) % 10 {
        0 => next(random) % 8192,
        1 => segment + next(random) % 64,
        2..=4 => segment + SEGMENT_BYTES - 1 - next(random) % 8192,
        _ => segment + next(random) % (1 << 20),
    }
}

fn run(seed: u64) {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bed = Stepped::create(config(), SEGMENTS, seed);
    let numbers: Vec<u64> = (0..125).collect();
    for chunk in numbers.chunks(25) {
        bed.put(&spec(2), Durability::Cache, chunk);
        bed.put(&spec(3), Durability::Durable, chunk);
    }
    bed.delete(3, &[0, 1, 2]);
    bed.settle();
    let image = bed.image.clone();
    drop(bed);
    for _ in 0..1 + next(&mut random) % 30 {
        image.flip(place(&mut random));
    }
    let (mut bed, report) = match Stepped::open(config(), &image, 2_000_000) {
        Ok(opened) => opened,
        Err(error) => {
            assert!(matches!(error, FlashError::NotAStore { .. }), "{error}");
            return;
        }
    };
    for space in [2, 3] {
        for &number in &numbers {
            if matches!(bed.read(space, number), Some(Ok(_))) {
                bed.assert_whole(space, number, &format!("seed {seed}"));
            }
        }
    }
    for start in 0..20 {
        let numbers: Vec<u64> = (1000 + start * 40..1040 + start * 40).collect();
        bed.append(&spec(2), Durability::Cache, &numbers, 1);
        bed.settle();
    }
    if report.segments_unreadable <= 2 {
        bed.assert_whole(2, 1799, "written after the rot");
    }
}

#[test]
fn rot_costs_blocks_and_never_gives_wrong_ones() {
    let chosen = std::env::var("FLASH_SEED").ok();
    let seeds = match chosen.and_then(|text| text.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 1..1 + SEEDS,
    };
    for seed in seeds {
        println!("replay with FLASH_SEED={seed}");
        run(seed);
    }
}

#[test]
fn a_configuration_that_cannot_work_says_which_rule_it_breaks() {
    let broken = FlashConfig {
        segment_bytes: 5 << 20,
        ..config()
    };
    assert_eq!(broken.validate(), Err(ConfigError::SegmentBytes(5 << 20)));
    let broken = FlashConfig {
        durable_percent: 95,
        ..config()
    };
    let error = broken.validate().expect_err("too much");
    assert_eq!(
        error.to_string(),
        "durable_percent is 95; it must be from 0 to 90"
    );
    let broken = FlashConfig {
        batch_bytes_max: 2 << 20,
        ..config()
    };
    assert!(broken.validate().is_err(), "half of a segment");
    assert!(FlashConfig::default().validate().is_ok());
}
