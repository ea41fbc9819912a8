//! Many threads on one store: no wrong bytes, no lost ends, whatever happens at the same time.

mod support;

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use holdfast_engine::{BlockId, PutKey, StoredBlock};
use holdfast_flash::disk::UringDisk;
use holdfast_flash::{
    Append, AppendDone, AppendFailure, Appended, Durability, FlashStore, PageMemory, ReadDone,
    ReadFailure, ReadInto,
};
use support::{Folder, block, config, id, spec};

const DISK_BYTES: u64 = 64 << 20;
const LIMIT: Duration = Duration::from_secs(60);
const ROUNDS: u64 = 150;

/// Numbers of one thread's turn: blocks that all threads share.
fn numbers(thread: u64, round: u64) -> Vec<u64> {
    let start = (thread * 7919 + round * 104_729) % 3000;
    (start..start + 20).collect()
}

fn append(store: &FlashStore, thread: u64, round: u64) {
    let (sender, ends) = channel();
    let done: AppendDone = Arc::new(move |tag, result| {
        let _ = sender.send((tag, result));
    });
    let (space, durability) = match thread % 2 {
        0 => (spec(2), Durability::Cache),
        _ => (spec(3), Durability::Durable),
    };
    let blocks = numbers(thread, round).into_iter().map(|number| Append {
        tag: number,
        key: PutKey {
            id: id(number),
            position: 0,
        },
        block: Box::new(block(number, thread as u32, space.block_bytes)),
    });
    let mut out = Vec::new();
    store.append(&space, durability, blocks.collect(), 1000, &done, &mut out);
    drop(done);
    let queued = out.iter().filter(|one| **one == Appended::Queued).count();
    for _ in 0..queued {
        let (_, result) = ends.recv_timeout(LIMIT).expect("an end for each block");
        let deleted = Err(AppendFailure::Deleted);
        assert!(result.is_ok() || result == deleted, "{result:?}");
    }
}

fn read(store: &FlashStore, thread: u64, round: u64) -> usize {
    let space = 2 + (thread % 2) as u32;
    let numbers = numbers(thread + 1, round);
    let ids: Vec<BlockId> = numbers.iter().map(|&number| id(number)).collect();
    let mut found = Vec::new();
    store.lookup(space, &ids, 1000, true, &mut found);
    let (sender, ends) = channel();
    let done: ReadDone = Arc::new(move |end| {
        let _ = sender.send(end);
    });
    let reads: Vec<ReadInto> = numbers
        .iter()
        .zip(found)
        .filter_map(|(&tag, location)| {
            let location = location?;
            Some(ReadInto {
                tag,
                location,
                room: Box::new(PageMemory::new(location.room_bytes())),
                verify: true,
            })
        })
        .collect();
    let count = reads.len();
    store.read(reads, &done);
    for _ in 0..count {
        let mut end = ends.recv_timeout(LIMIT).expect("an end for each read");
        match end.result {
            Ok(()) => {
                let bytes = end.location.payload_bytes;
                let written = block(end.tag, end.location.write_id, bytes);
                let read = &end.room.as_mut_slice()[..bytes as usize];
                assert!(written.as_slice() == read, "block {}", end.tag);
            }
            Err(failure) => assert_eq!(failure, ReadFailure::Gone),
        }
    }
    count
}

#[test]
fn appends_reads_and_deletes_at_the_same_time() {
    let folder = Folder::new("races");
    let disk = UringDisk::open(&folder.file(0), DISK_BYTES, 64).expect("a ring");
    let (store, _) = FlashStore::open(config(), Box::new(disk), 1000).expect("an empty file");
    let found: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    let mut found = 0;
                    for round in 0..ROUNDS {
                        append(store, thread, round);
                        found += read(store, thread, round);
                        if round % 5 == thread {
                            let ids = numbers(thread, round / 2).into_iter().map(id);
                            let ids: Vec<BlockId> = ids.collect();
                            let mut there = vec![false; ids.len()];
                            store.delete(2 + (thread % 2) as u32, &ids, 1000, &mut there);
                        }
                    }
                    found
                })
            })
            .collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.map(|found| found.expect("a worker")).sum()
    });
    assert!(found > 0, "blocks were found on the way");
    let checked = store.check(LIMIT);
    assert!(checked.bad.is_empty() && !checked.hurried);
    let stats = store.stats();
    assert_eq!(
        (stats.queued, stats.queued_bytes, stats.reads_queued),
        (0, 0, 0)
    );
    assert!(stats.counters.reclaimed > 0, "segments were used again");
}
