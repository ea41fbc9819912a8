//! A disk that fails costs what it failed at, and is not trusted further than that.

mod support;

use std::time::Duration;

use holdfast_flash::{AppendFailure, AppendRefused, Appended, Durability, FlashStore, ReadFailure};
use support::{Stepped, config, spec};

const CACHE: Durability = Durability::Cache;
const DURABLE: Durability = Durability::Durable;

#[test]
fn a_failed_write_fails_its_blocks_and_the_store_goes_on() {
    for durability in [CACHE, DURABLE] {
        let space = spec(if durability == CACHE { 2 } else { 3 });
        let mut bed = Stepped::create(config(), 12, 1);
        bed.put(&space, durability, &[1, 2]);
        bed.image.with_faults(|faults| faults.writes_failing = 1);
        bed.append(&space, durability, &[3], 1);
        bed.settle();
        let failed: Vec<_> = bed.ends.try_iter().collect();
        let failure = AppendFailure::Write { errno: libc::EIO };
        assert_eq!(failed, [(3, Err(failure))]);
        bed.put(&space, durability, &[3, 4]);
        for number in [1, 2, 3, 4] {
            bed.assert_whole(space.space, number, "after a failed write");
        }
        let stats = bed.store.stats();
        assert_eq!(stats.counters.write_errors, 1);
        assert_eq!(
            stats.cache.segments_broken + stats.durable.segments_broken,
            1
        );
        let (mut bed, _) = bed.crash(config(), 1);
        for number in [1, 2, 3, 4] {
            if durability == DURABLE {
                bed.assert_whole(space.space, number, "after a failed write and a crash");
            }
        }
    }
}

#[test]
fn a_broken_segment_is_emptied_and_not_written_again() {
    let mut bed = Stepped::create(config(), 12, 2);
    bed.put(&spec(2), CACHE, &[1]);
    bed.image.with_faults(|faults| faults.writes_failing = 1);
    bed.append(&spec(2), CACHE, &[2], 1);
    bed.settle();
    for start in 0..30 {
        let numbers: Vec<u64> = (1000 + start * 100..1100 + start * 100).collect();
        for numbers in numbers.chunks(50) {
            bed.put(&spec(2), CACHE, numbers);
        }
    }
    assert_eq!(bed.found(2, &[1]), [false]);
    assert_eq!(bed.store.stats().cache.segments_broken, 1);
}

#[test]
fn a_tombstone_whose_write_fails_is_written_again() {
    let mut bed = Stepped::create(config(), 12, 3);
    bed.put(&spec(3), DURABLE, &[1, 2]);
    bed.image.with_faults(|faults| faults.writes_failing = 1);
    let (_, deleted) = bed.delete(3, &[1]);
    bed.settle();
    assert_eq!(deleted.try_recv(), Ok(Ok(())));
    let (bed, _) = bed.crash(config(), 3);
    assert_eq!(bed.found(3, &[1, 2]), [false, true]);
}

#[test]
fn writes_that_keep_failing_end_the_store_and_no_call_waits() {
    let mut bed = Stepped::create(config(), 12, 4);
    bed.put(&spec(2), CACHE, &[1]);
    bed.image.with_faults(|faults| {
        faults.writes_failing = u32::MAX;
        faults.out_of_space = true;
    });
    for number in 2..6 {
        bed.append(&spec(2), CACHE, &[number], 1);
        bed.settle();
    }
    assert!(bed.store.stats().failed);
    assert_eq!(
        bed.append(&spec(2), CACHE, &[9], 1),
        [Appended::Refused(AppendRefused::Failed)]
    );
    bed.assert_whole(2, 1, "a failed store reads");
}

#[test]
fn after_a_failed_sync_nothing_durable_is_acknowledged() {
    let mut bed = Stepped::create(config(), 12, 5);
    bed.put(&spec(3), DURABLE, &[1, 2]);
    bed.image.with_faults(|faults| faults.syncs_failing = 1);
    bed.append(&spec(3), DURABLE, &[3, 4], 1);
    let (_, deleted) = bed.delete(3, &[2]);
    bed.settle();
    let ended: Vec<_> = bed.ends.try_iter().collect();
    assert_eq!(ended.len(), 2);
    assert!(
        ended
            .iter()
            .all(|(_, result)| *result == Err(AppendFailure::Failed))
    );
    assert_eq!(deleted.try_recv(), Ok(Err(AppendFailure::Failed)));
    assert!(bed.store.stats().failed);
    assert_eq!(
        bed.append(&spec(3), DURABLE, &[5], 1),
        [Appended::Refused(AppendRefused::Failed)]
    );
    bed.assert_whole(3, 1, "a failed store reads");
    // Opened anew it must be checked; nothing was lost here.
    let image = bed.image.clone();
    drop(bed);
    image.crash(5);
    let disk = Box::new(image.disk());
    let (store, _) = FlashStore::open(config(), disk, 2_000_000).expect("a store");
    let checked = store.check(Duration::from_secs(20));
    assert!(checked.bad.is_empty() && !checked.hurried && checked.blocks >= 1);
}

#[test]
fn unreadable_and_rotten_blocks_are_misses_and_dropped() {
    let mut bed = Stepped::create(config(), 12, 6);
    bed.put(&spec(2), CACHE, &[1, 2, 3]);
    let image = bed.image.clone();
    // Head, batch head, then blocks of ten pages each.
    let payload = |number: u64| (4 << 20) + (2 + 10 * number) * 4096;
    image.flip(payload(0) + 100);
    image.with_faults(|faults| faults.unreadable = vec![payload(1)]);
    assert_eq!(bed.read(2, 1), Some(Err(ReadFailure::Corrupt)));
    let errno = libc::EIO;
    assert_eq!(bed.read(2, 2), Some(Err(ReadFailure::Io { errno })));
    bed.assert_whole(2, 3, "beside bad ones");
    assert_eq!(bed.found(2, &[1, 2, 3]), [false, false, true]);
    let counters = bed.store.stats().counters;
    assert_eq!((counters.corrupt, counters.read_errors), (1, 1));
    bed.put(&spec(2), CACHE, &[1, 2]);
    bed.assert_whole(2, 1, "written anew");
}

#[test]
fn a_scrub_finds_rot_and_drops_it() {
    let mut bed = Stepped::create(config(), 12, 7);
    bed.put(&spec(3), DURABLE, &(0..30).collect::<Vec<u64>>());
    let image = bed.image.clone();
    bed.store.close();
    bed.settle();
    drop(bed);
    image.flip((4 << 20) + 2 * 4096 + 5);
    let disk = Box::new(image.disk());
    let (store, _) = FlashStore::open(config(), disk, 2_000_000).expect("a store");
    let (mut from, mut blocks, mut bad) = (0, 0, Vec::new());
    loop {
        let step = store.verify(from, 200_000, Duration::from_secs(20));
        assert!(!step.hurried);
        blocks += step.blocks;
        bad.extend(step.bad);
        from = step.next;
        if from == 0 {
            break;
        }
    }
    assert_eq!(blocks, 29);
    assert_eq!(bad.len(), 1);
    assert_eq!((bad[0].space, bad[0].failure), (3, ReadFailure::Corrupt));
    assert_eq!(store.check(Duration::from_secs(20)).blocks, 29);
}

#[test]
fn a_lost_head_is_made_good_by_the_footer_or_costs_its_segment() {
    let mut bed = Stepped::create(config(), 12, 8);
    for start in 0..4 {
        let numbers: Vec<u64> = (start * 50..start * 50 + 50).collect();
        bed.put(&spec(2), CACHE, &numbers);
    }
    let image = bed.image.clone();
    bed.store.close();
    bed.settle();
    drop(bed);
    image.flip((4 << 20) + 30);
    let (mut bed, report) = Stepped::open(config(), &image, 2_000_000).expect("a store");
    assert_eq!(
        (report.segments_headless, report.segments_unreadable),
        (1, 0)
    );
    bed.assert_whole(2, 0, "of a segment without a head");
    drop(bed);
    image.flip((8 << 20) - 1);
    let (mut bed, report) = Stepped::open(config(), &image, 2_000_000).expect("a store");
    assert_eq!(
        (report.segments_headless, report.segments_unreadable),
        (0, 1)
    );
    assert_eq!(bed.found(2, &[0]), [false]);
    bed.assert_whole(2, 199, "of another segment");
}
