//! Segments are used again: what is wanted stays, what is durable never goes, nothing gets stuck.

mod support;

use holdfast_engine::SpaceSpec;
use holdfast_flash::{
    AppendRefused, Appended, Durability, FlashConfig, PageMemory, ReadDone, ReadInto,
};
use std::sync::Arc;
use std::sync::mpsc::channel;
use support::{BLOCK_BYTES, Stepped, config, spec};

const CACHE: Durability = Durability::Cache;
const DURABLE: Durability = Durability::Durable;

/// Blocks that one segment holds, about.
const PER_SEGMENT: u64 = (4 << 20) / BLOCK_BYTES as u64;

fn chunks(range: std::ops::Range<u64>) -> Vec<Vec<u64>> {
    let numbers: Vec<u64> = range.collect();
    numbers.chunks(40).map(<[u64]>::to_vec).collect()
}

#[test]
fn the_oldest_go_and_what_is_used_stays() {
    let mut bed = Stepped::create(config(), 12, 1);
    let favourites: Vec<u64> = (0..20).collect();
    bed.put(&spec(2), CACHE, &favourites);
    for numbers in chunks(1000..1000 + 40 * PER_SEGMENT) {
        bed.put(&spec(2), CACHE, &numbers);
        bed.locate(2, &favourites, true);
    }
    assert!(bed.found(2, &favourites).iter().all(|&found| found));
    for &number in &favourites {
        bed.assert_whole(2, number, "used again and again");
    }
    assert_eq!(bed.found(2, &[1000, 1100]), [false, false]);
    let newest = 1000 + 40 * PER_SEGMENT - 1;
    bed.assert_whole(2, newest, "the newest");
    let stats = bed.store.stats();
    assert!(stats.counters.reclaimed > 25, "{stats:?}");
    assert!(stats.counters.reinserted >= 20);
    assert!(stats.blocks > 8 * PER_SEGMENT, "{} blocks", stats.blocks);
    let (mut bed, report) = bed.crash(config(), 1);
    assert_eq!(report.segments_unreadable, 0);
    for &number in &favourites {
        bed.assert_whole(2, number, "after a crash");
    }
}

#[test]
fn a_priority_keeps_blocks_longer() {
    let mut bed = Stepped::create(config(), 12, 2);
    let high = SpaceSpec {
        priority: 3,
        ..spec(4)
    };
    bed.put(&high, CACHE, &[1]);
    bed.put(&spec(2), CACHE, &[1]);
    for numbers in chunks(1000..1000 + 15 * PER_SEGMENT) {
        bed.put(&spec(2), CACHE, &numbers);
    }
    assert_eq!(bed.found(4, &[1]), [true]);
    assert_eq!(bed.found(2, &[1]), [false]);
}

#[test]
fn durable_blocks_are_refused_when_full_and_room_comes_back_with_deletes() {
    let mut bed = Stepped::create(config(), 12, 3);
    let mut stored: Vec<u64> = Vec::new();
    let mut full = false;
    for numbers in chunks(0..20 * PER_SEGMENT) {
        let appended = bed.append(&spec(3), DURABLE, &numbers, 1);
        bed.settle();
        for (number, appended) in numbers.iter().zip(appended) {
            match appended {
                Appended::Queued => stored.push(*number),
                Appended::Refused(AppendRefused::DurableFull { .. }) => full = true,
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(full);
    let acknowledged: Vec<_> = bed.ends.try_iter().collect();
    assert_eq!(acknowledged.len(), stored.len());
    assert!(acknowledged.iter().all(|(_, result)| result.is_ok()));
    for &number in stored.iter().step_by(17) {
        bed.assert_whole(3, number, "durable");
    }
    // Turn the whole share over several times: every second one goes, others come.
    let mut next = 1_000_000;
    for _ in 0..8 {
        let (gone, kept): (Vec<u64>, Vec<u64>) =
            stored.iter().partition(|&&number| number % 2 == 0);
        let (_, deleted) = bed.delete(3, &gone);
        bed.settle();
        assert_eq!(deleted.try_recv(), Ok(Ok(())));
        stored = kept;
        for _ in 0..gone.len() / 20 {
            let numbers: Vec<u64> = (next..next + 20).collect();
            next += 20;
            bed.put(&spec(3), DURABLE, &numbers);
            stored.extend(numbers);
        }
    }
    let (mut bed, _) = bed.crash(config(), 3);
    for &number in &stored {
        bed.assert_whole(3, number, "durable after a crash");
    }
    assert_eq!(bed.store.stats().blocks, stored.len() as u64);
}

#[test]
fn durable_blocks_push_cache_blocks_out() {
    let mut bed = Stepped::create(config(), 12, 4);
    for numbers in chunks(0..20 * PER_SEGMENT) {
        bed.put(&spec(2), CACHE, &numbers);
    }
    let before = bed.store.stats();
    for numbers in chunks(0..2 * PER_SEGMENT) {
        bed.put(&spec(3), DURABLE, &numbers);
    }
    let after = bed.store.stats();
    assert!(after.cache.live_bytes < before.cache.live_bytes);
    for number in 0..2 * PER_SEGMENT {
        bed.assert_whole(3, number, "durable");
    }
    for numbers in chunks(10_000..10_000 + 20 * PER_SEGMENT) {
        bed.put(&spec(2), CACHE, &numbers);
    }
    for number in 0..2 * PER_SEGMENT {
        bed.assert_whole(3, number, "durable beside busy cache blocks");
    }
}

#[test]
fn a_segment_is_not_used_again_while_it_is_read() {
    let mut bed = Stepped::create(config(), 12, 5);
    bed.put(&spec(2), CACHE, &[1]);
    for numbers in chunks(1000..1000 + 8 * PER_SEGMENT) {
        bed.put(&spec(2), CACHE, &numbers);
    }
    let location = bed.locate(2, &[1], false)[0].expect("a stored block");
    // Its completion is held back; everything else must go on as far as it can.
    bed.image.with_faults(|faults| faults.stalled = true);
    let (sender, ends) = channel();
    let done: ReadDone = Arc::new(move |end| {
        let _ = sender.send(end.result);
    });
    let room = Box::new(PageMemory::new(location.room_bytes()));
    let read = ReadInto {
        tag: 1,
        location,
        room,
        verify: true,
    };
    bed.store.read(vec![read], &done);
    bed.turn();
    assert!(ends.try_recv().is_err());
    for numbers in chunks(5000..5000 + 3 * PER_SEGMENT) {
        bed.append(&spec(2), CACHE, &numbers, 1);
    }
    bed.image.with_faults(|faults| {
        faults.stalled = false;
        faults.slow = true;
    });
    bed.settle();
    assert_eq!(ends.try_recv(), Ok(Ok(())));
    // The same location is not read any more once its segment was used again.
    for numbers in chunks(20_000..20_000 + 15 * PER_SEGMENT) {
        bed.put(&spec(2), CACHE, &numbers);
    }
    let room = Box::new(PageMemory::new(location.room_bytes()));
    let read = ReadInto {
        tag: 1,
        location,
        room,
        verify: true,
    };
    bed.store.read(vec![read], &done);
    bed.settle();
    assert!(matches!(
        ends.try_recv(),
        Ok(Err(holdfast_flash::ReadFailure::Gone))
    ));
}

#[test]
fn deleted_blocks_do_not_come_back_from_segments_that_wait_for_reuse() {
    let mut bed = Stepped::create(config(), 12, 6);
    for numbers in chunks(0..3 * PER_SEGMENT) {
        bed.put(&spec(2), CACHE, &numbers);
    }
    let (there, deleted) = bed.delete(2, &[0, 1, 2]);
    assert_eq!(there, [true, true, true]);
    bed.settle();
    assert_eq!(deleted.try_recv(), Ok(Ok(())));
    for round in 0..25 {
        let start = 10_000 + round * PER_SEGMENT;
        for numbers in chunks(start..start + PER_SEGMENT) {
            bed.put(&spec(2), CACHE, &numbers);
        }
        let (crashed, _) = bed.crash(config(), round);
        bed = crashed;
        assert_eq!(bed.found(2, &[0, 1, 2]), [false; 3], "round {round}");
    }
}

#[test]
fn tombstones_come_to_an_end_beside_blocks_that_stay() {
    let mut bed = Stepped::create(config(), 12, 7);
    let staying: Vec<u64> = (0..100).collect();
    bed.put(&spec(3), DURABLE, &staying);
    // Deletes of what is not there write tombstones all the same: 255 to a batch of four pages.
    for round in 0..1000u64 {
        let start = 1_000_000 + round * 1000;
        let numbers: Vec<u64> = (start..start + 1000).collect();
        let (_, deleted) = bed.delete(3, &numbers);
        bed.settle();
        assert_eq!(deleted.try_recv(), Ok(Ok(())), "round {round}");
    }
    for &number in &staying {
        bed.assert_whole(3, number, "beside tombstones");
    }
    bed.put(&spec(3), DURABLE, &[5000]);
    let counters = bed.store.stats().counters;
    assert!(counters.tombstones < 4_000_000, "{counters:?}");
}

#[test]
fn a_full_index_makes_the_oldest_go_as_well() {
    let few = FlashConfig {
        blocks_max: 1024,
        ..config()
    };
    let mut bed = Stepped::create(few, 30, 8);
    for numbers in chunks(0..3000) {
        bed.put(&spec(2), CACHE, &numbers);
    }
    let stats = bed.store.stats();
    assert!(
        (800..=1024).contains(&stats.blocks),
        "{} blocks",
        stats.blocks
    );
    assert!(stats.segments_free > 10);
    bed.assert_whole(2, 2999, "the newest");
}

#[test]
fn segments_of_dropped_spaces_are_used_again() {
    let mut bed = Stepped::create(config(), 12, 9);
    for numbers in chunks(0..2 * PER_SEGMENT) {
        bed.put(&spec(3), DURABLE, &numbers);
        bed.put(&spec(2), CACHE, &numbers);
    }
    bed.put(&spec(5), DURABLE, &[1, 2, 3]);
    bed.store.drop_space(3);
    bed.store.drop_space(2);
    // Room of durable blocks comes back with the sweep.
    assert!(bed.store.stats().durable.live_bytes > 2 * (3 << 20));
    assert_eq!(bed.store.sweep(bed.now, 0, u32::MAX), 0);
    assert!(bed.store.stats().durable.live_bytes < 1 << 20);
    for numbers in chunks(10_000..10_000 + 2 * PER_SEGMENT) {
        bed.put(&spec(7), DURABLE, &numbers);
    }
    bed.store.drop_space(7);
    // Without a sweep, segments are emptied of dropped spaces as they come up.
    for start in 0..20 {
        let start = 20_000 + start * PER_SEGMENT;
        for numbers in chunks(start..start + PER_SEGMENT) {
            bed.put(&spec(4), CACHE, &numbers);
        }
        let numbers: Vec<u64> = (50_000..50_020).collect();
        bed.put(&spec(5), DURABLE, &numbers);
        bed.delete(5, &numbers);
        bed.settle();
    }
    for number in [1, 2, 3] {
        bed.assert_whole(5, number, "beside dropped spaces");
    }
}
