//! What is written is read, found again after a restart, and gone when it should be.

mod support;

use std::sync::Arc;

use holdfast_engine::SpaceSpec;
use holdfast_flash::disk::CrashImage;
use holdfast_flash::{
    AppendRefused, Appended, Durability, FlashConfig, FlashError, ReadDone, ReadFailure, ReadInto,
};
use holdfast_flash::{PageMemory, ReadRoom};
use support::{BLOCK_BYTES, Stepped, config, spec};

const CACHE: Durability = Durability::Cache;
const DURABLE: Durability = Durability::Durable;

#[test]
fn what_is_appended_is_read() {
    let mut bed = Stepped::create(config(), 10, 1);
    bed.put(&spec(2), CACHE, &[1, 2, 3]);
    bed.put(&spec(3), DURABLE, &[4, 5]);
    for number in [1, 2, 3] {
        bed.assert_whole(2, number, "cache");
    }
    for number in [4, 5] {
        bed.assert_whole(3, number, "durable");
    }
    assert_eq!(bed.found(2, &[4, 1]), [false, true]);
    let stats = bed.store.stats();
    assert_eq!((stats.blocks, stats.queued_bytes), (5, 0));
    assert_eq!(stats.counters.admitted_bytes, 5 * u64::from(BLOCK_BYTES));
}

#[test]
fn a_block_cannot_be_read_before_it_is_written() {
    let mut bed = Stepped::create(config(), 10, 2);
    bed.image.with_faults(|faults| faults.stalled = true);
    for (space, durability) in [(2, CACHE), (3, DURABLE)] {
        bed.append(&spec(space), durability, &[1], 1);
        bed.turn();
        assert_eq!(bed.found(space, &[1]), [false]);
        let again = bed.append(&spec(space), durability, &[1], 2);
        assert_eq!(again, [Appended::Busy]);
    }
    bed.image.with_faults(|faults| faults.stalled = false);
    bed.settle();
    for (space, durability) in [(2, CACHE), (3, DURABLE)] {
        assert_eq!(bed.found(space, &[1]), [true]);
        let again = bed.append(&spec(space), durability, &[1], 2);
        assert_eq!(again, [Appended::Present]);
    }
}

#[test]
fn durable_blocks_that_wait_together_share_a_sync() {
    let mut bed = Stepped::create(config(), 10, 3);
    let numbers: Vec<u64> = (0..40).collect();
    bed.put(&spec(3), DURABLE, &numbers);
    let counters = bed.store.stats().counters;
    assert_eq!(counters.synced, 40);
    assert!(counters.syncs < 20, "{} syncs", counters.syncs);
}

#[test]
fn a_restart_reads_footers_and_finds_everything() {
    let mut bed = Stepped::create(config(), 20, 4);
    let numbers: Vec<u64> = (0..500).collect();
    for chunk in numbers.chunks(50) {
        bed.put(&spec(2), CACHE, chunk);
    }
    bed.put(&spec(3), DURABLE, &[1000, 1001]);
    bed.delete(2, &[3, 4]);
    bed.store.close();
    bed.settle();
    let image = bed.image.clone();
    drop(bed);
    let (mut bed, report) = Stepped::open(config(), &image, 2_000_000).expect("a store");
    assert!(!report.created);
    assert_eq!(
        report.segments_scanned, 0,
        "it was closed in an orderly way"
    );
    assert_eq!((report.blocks, report.tombstones), (500, 2));
    assert_eq!(bed.found(2, &[3, 4]), [false, false]);
    for number in [0, 5, 77, 499] {
        bed.assert_whole(2, number, "after a restart");
    }
    bed.assert_whole(3, 1001, "after a restart");
    bed.put(&spec(2), CACHE, &[3, 600]);
    bed.assert_whole(2, 3, "appended anew");
}

#[test]
fn a_crash_keeps_what_was_acknowledged_as_durable() {
    for seed in 0..20 {
        let mut bed = Stepped::create(config(), 10, seed);
        bed.put(&spec(3), DURABLE, &[1, 2, 3]);
        let (_, deleted) = bed.delete(3, &[2]);
        bed.settle();
        assert_eq!(deleted.try_recv(), Ok(Ok(())));
        bed.append(&spec(3), DURABLE, &[4, 5, 6], 9);
        bed.turn();
        let (mut bed, report) = bed.crash(config(), seed);
        assert_eq!(report.segments_scanned, 1, "seed {seed}");
        bed.assert_whole(3, 1, "after a crash");
        bed.assert_whole(3, 3, "after a crash");
        assert_eq!(bed.found(3, &[2]), [false], "seed {seed}");
        for number in [4, 5, 6] {
            let read = bed.read(3, number);
            assert!(read.is_none_or(|read| read.is_ok()), "seed {seed}");
        }
    }
}

#[test]
fn a_deleted_block_is_gone_even_while_it_is_written() {
    let mut bed = Stepped::create(config(), 10, 5);
    bed.append(&spec(2), CACHE, &[1, 2], 1);
    let (there, _) = bed.delete(2, &[1]);
    assert_eq!(there, [false], "it could not be read yet");
    bed.settle();
    assert_eq!(bed.found(2, &[1, 2]), [false, true]);
    let (bed, _) = bed.crash(config(), 5);
    assert_eq!(bed.found(2, &[1]), [false]);
}

#[test]
fn spaces_end_when_they_are_dropped_or_unknown() {
    let mut bed = Stepped::create(config(), 10, 6);
    bed.put(&spec(2), CACHE, &[1]);
    bed.put(&spec(4), CACHE, &[1]);
    bed.append(&spec(2), CACHE, &[2], 1);
    bed.store.drop_space(2);
    bed.settle();
    assert_eq!(bed.found(2, &[1, 2]), [false, false]);
    assert_eq!(bed.found(4, &[1]), [true]);
    bed.store.close();
    bed.settle();
    let image = bed.image.clone();
    drop(bed);
    let (bed, _) = Stepped::open(config(), &image, 2_000_000).expect("a store");
    bed.store.set_spaces_alive(&[4, 9]);
    assert_eq!(bed.found(2, &[1]), [false]);
    assert_eq!(bed.found(4, &[1]), [true]);
    assert_eq!(bed.store.sweep(bed.now, 0, u32::MAX), 0);
    assert_eq!(bed.store.stats().blocks, 1);
}

#[test]
fn blocks_end_with_their_time() {
    let ttl = SpaceSpec {
        ttl_s: 100,
        ..spec(2)
    };
    let mut bed = Stepped::create(config(), 10, 7);
    bed.put(&ttl, CACHE, &[1]);
    bed.now += 97_000;
    assert_eq!(bed.found(2, &[1]), [true]);
    bed.put(&ttl, CACHE, &[2]);
    bed.store.close();
    bed.settle();
    let (image, now) = (bed.image.clone(), bed.now);
    drop(bed);
    let (mut bed, report) = Stepped::open(config(), &image, now + 4_000).expect("a store");
    assert_eq!((report.expired, report.blocks), (1, 1));
    assert_eq!(bed.found(2, &[1, 2]), [false, true]);
    bed.now += 96_000;
    assert_eq!(bed.found(2, &[2]), [false]);
}

#[test]
fn what_cannot_be_stored_is_refused_with_the_reason() {
    let small = FlashConfig {
        write_queue_bytes_max: 1 << 20,
        ..config()
    };
    let mut bed = Stepped::create(small, 10, 8);
    let huge = SpaceSpec {
        block_bytes: 2 << 20,
        ..spec(2)
    };
    let refused = bed.append(&huge, CACHE, &[1], 1);
    assert!(matches!(
        refused[0],
        Appended::Refused(AppendRefused::TooLarge { .. })
    ));
    bed.put(&spec(2), CACHE, &[1]);
    let other = SpaceSpec {
        tenant: 9,
        ..spec(2)
    };
    let mismatch = AppendRefused::SpaceMismatch {
        tenant: 1,
        block_bytes: BLOCK_BYTES,
    };
    assert_eq!(
        bed.append(&other, CACHE, &[2], 1),
        [Appended::Refused(mismatch)]
    );
    assert_eq!(
        bed.append(&spec(2), DURABLE, &[2], 1),
        [Appended::Refused(AppendRefused::SpaceDurability)]
    );
    let many: Vec<u64> = (10..60).collect();
    let appended = bed.append(&spec(2), CACHE, &many, 1);
    let queued = appended.iter().filter(|one| **one == Appended::Queued);
    assert_eq!(queued.count(), (1 << 20) / BLOCK_BYTES as usize);
    assert!(matches!(
        appended[49],
        Appended::Refused(AppendRefused::QueueFull { .. })
    ));
    assert_eq!(bed.store.stats().counters.refused_queue, 24);
    bed.settle();
    bed.put(&spec(2), CACHE, &[59]);
}

struct Unaligned(PageMemory);

// SAFETY: heap memory that the value owns.
unsafe impl ReadRoom for Unaligned {
    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0[1..]
    }
}

#[test]
fn memory_that_the_disk_cannot_read_into_is_refused() {
    let mut bed = Stepped::create(config(), 10, 9);
    bed.put(&spec(2), CACHE, &[1]);
    let location = bed.locate(2, &[1], false)[0].expect("a stored block");
    let (sender, ends) = std::sync::mpsc::channel();
    let done: ReadDone = Arc::new(move |end| {
        let _ = sender.send(end.result);
    });
    let room = Box::new(Unaligned(PageMemory::new(1 << 20)));
    let read = ReadInto {
        tag: 0,
        location,
        room,
        verify: true,
    };
    bed.store.read(vec![read], &done);
    let result = ends.try_recv().expect("an end at once");
    assert!(matches!(result, Err(ReadFailure::Room { .. })));
}

#[test]
fn foreign_and_unknown_contents_are_refused_and_left_alone() {
    let bed = Stepped::create(config(), 10, 10);
    let image = bed.image.clone();
    drop(bed);
    let open = |config: FlashConfig| Stepped::open(config, &image, 0).err().expect("an error");
    let other = FlashConfig {
        cluster: [7; 16],
        ..config()
    };
    let error = open(other);
    let text = error.to_string();
    assert!(matches!(
        error,
        FlashError::Foreign {
            what: "cluster",
            ..
        }
    ));
    assert!(text.contains(&"00".repeat(16)) && text.contains(&"07".repeat(16)));
    let error = open(FlashConfig {
        node: 5,
        ..config()
    });
    assert!(error.to_string().contains("node 0, and here is node 5"));
    let error = open(FlashConfig {
        segment_bytes: 8 << 20,
        ..config()
    });
    assert!(matches!(error, FlashError::SegmentBytes { .. }));
    // One superblock may rot.
    image.flip(10);
    assert!(Stepped::open(config(), &image, 0).is_ok());
    image.flip(4096 + 10);
    assert!(matches!(open(config()), FlashError::NotAStore { .. }));
    let small = CrashImage::new(10 << 20, 1);
    let error = Stepped::open(config(), &small, 0).err().expect("an error");
    assert!(matches!(error, FlashError::DiskTooSmall { .. }));
}

#[test]
fn footers_of_many_small_blocks_are_read_in_two_steps() {
    let small = SpaceSpec {
        block_bytes: 4096,
        ..spec(2)
    };
    let mut bed = Stepped::create(config(), 10, 11);
    let numbers: Vec<u64> = (0..3000).collect();
    bed.put(&small, CACHE, &numbers);
    bed.store.close();
    bed.settle();
    let image = bed.image.clone();
    drop(bed);
    let (mut bed, report) = Stepped::open(config(), &image, 2_000_000).expect("a store");
    assert_eq!((report.blocks, report.segments_scanned), (3000, 0));
    assert!(
        report.segments_cache <= 4,
        "{} segments",
        report.segments_cache
    );
    for number in [0, 1, 1500, 2999] {
        bed.assert_whole(2, number, "small blocks");
    }
}
