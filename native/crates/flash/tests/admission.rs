//! With a write budget, what comes once does not wear the flash out.

mod support;

use holdfast_flash::{AdmissionConfig, AppendRefused, Appended, Durability, FlashConfig};
use support::{BLOCK_BYTES, Stepped, config, spec};

const CACHE: Durability = Durability::Cache;

fn limited(blocks_per_s: u64) -> FlashConfig {
    FlashConfig {
        admission: AdmissionConfig {
            write_bytes_per_s: blocks_per_s * u64::from(BLOCK_BYTES),
            burst_s: 10,
            ghost_ids: 1 << 16,
        },
        ..config()
    }
}

fn admitted(bed: &mut Stepped, numbers: &[u64]) -> usize {
    let appended = bed.append(&spec(2), CACHE, numbers, 1);
    bed.settle();
    let queued = |one: &&Appended| **one == Appended::Queued;
    appended.iter().filter(queued).count()
}

#[test]
fn a_scan_is_cut_off_and_what_is_asked_for_again_is_written() {
    let mut bed = Stepped::create(limited(10), 20, 1);
    let scan: Vec<u64> = (0..400).collect();
    let written = admitted(&mut bed, &scan);
    assert_eq!(written, 50, "half of ten seconds of budget");
    let refused = bed.append(&spec(2), CACHE, &[1000], 1);
    assert_eq!(refused, [Appended::Refused(AppendRefused::NotAdmitted)]);
    assert_eq!(bed.store.stats().counters.refused_admission, 351);
    // A second put, and a put after a miss, are written as long as there is budget at all.
    assert_eq!(admitted(&mut bed, &[1000, 399, 398]), 3);
    bed.locate(2, &[2000], true);
    assert_eq!(admitted(&mut bed, &[2000, 2001]), 1);
    // Later the budget is there again for whatever comes.
    bed.now += 10_000;
    assert_eq!(admitted(&mut bed, &[2001, 3000]), 2);
}

#[test]
fn durable_blocks_are_not_subject_to_it() {
    let mut bed = Stepped::create(limited(1), 20, 2);
    let numbers: Vec<u64> = (0..100).collect();
    bed.put(&spec(3), Durability::Durable, &numbers);
}

#[test]
fn last_blocks_that_are_never_asked_for_again_are_not_written() {
    let mut bed = Stepped::create(config(), 12, 3);
    // Conversations of six blocks, the last one partly filled: the next turn has another.
    let mut refused = 0;
    for turn in 0..600u64 {
        let start = 10_000 + turn * 10;
        let numbers: Vec<u64> = (start..start + 6).collect();
        bed.append(&spec(2), CACHE, &numbers, 1);
        bed.settle();
        if turn > 50 {
            let earlier = start - 500;
            bed.locate(2, &(earlier..earlier + 5).collect::<Vec<u64>>(), true);
        }
        refused = bed.store.stats().counters.refused_deepest;
    }
    assert!((200..600).contains(&refused), "{refused} of 600");
    // Where they are used, they are written again.
    for turn in 0..600u64 {
        let start = 100_000 + turn * 10;
        let numbers: Vec<u64> = (start..start + 6).collect();
        bed.append(&spec(4), CACHE, &numbers, 1);
        bed.settle();
        let earlier = (start - 300).max(100_000);
        bed.locate(4, &(earlier..earlier + 6).collect::<Vec<u64>>(), true);
    }
    assert_eq!(bed.store.stats().counters.refused_deepest, refused);
}
