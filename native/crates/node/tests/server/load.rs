//! Several callers at once on a node that is too small for what they write.

use holdfast_wire::{KeyStatus, TransportKind};

use crate::block;
use crate::support::frames::Caller;
use crate::support::rig::Rig;
use crate::support::{bytes_of, eventually, id_of};

const CALLERS: u64 = 4;
const ROUNDS: u64 = 25;
const BATCH: u64 = 16;
/// Three times what the arena holds.
const BLOCKS: u64 = 768;
const SEED: u64 = 20_261;

/// Writes and reads blocks that all callers share; returns how many were found.
fn work(caller: &mut Caller, number: u64) -> usize {
    let mut hits = 0;
    for round in 0..ROUNDS {
        let draws = bytes_of(SEED + number * ROUNDS + round, BATCH as usize * 8);
        let numbers: Vec<u64> = draws
            .chunks(8)
            .map(|draw| u64::from_le_bytes(draw.try_into().expect("8 bytes")) % BLOCKS)
            .collect();
        let batch: Vec<_> = numbers.iter().map(|number| block(*number)).collect();
        for status in caller.put(number as u32, &batch) {
            let expected = [KeyStatus::Stored, KeyStatus::Present, KeyStatus::Busy];
            assert!(expected.contains(&status), "{status:?}, seed {SEED}");
        }
        let ids: Vec<_> = numbers.iter().map(|number| id_of(*number)).collect();
        for (block, (status, bytes)) in batch.iter().zip(caller.get(&ids)) {
            match status {
                KeyStatus::Hit => {
                    assert!(bytes == block.bytes, "wrong bytes, seed {SEED}");
                    hits += 1;
                }
                // Over shared memory a block may be overwritten while it is copied.
                KeyStatus::Miss | KeyStatus::Corrupt => {}
                other => panic!("{other:?}, seed {SEED}"),
            }
        }
    }
    hits
}

#[test]
fn callers_that_evict_each_others_blocks_read_no_wrong_bytes() {
    let rig = Rig::with(|config| {
        config.reactors = 2;
        config.engine.arena_bytes = 16 << 20;
    });
    let hits: usize = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|number| {
                let transport = match number % 2 {
                    0 => TransportKind::Tcp,
                    _ => TransportKind::SharedMemory,
                };
                let mut caller = rig.open(transport);
                scope.spawn(move || work(&mut caller, number))
            })
            .collect();
        let hits = callers
            .into_iter()
            .map(|caller| caller.join().expect("no panic"));
        hits.sum()
    });
    assert!(hits > 200, "only {hits} hits, seed {SEED}");
    let stats = rig.stats();
    assert!(
        stats.engine.evictions > 0,
        "nothing was evicted, seed {SEED}"
    );
    assert_eq!(
        stats.counters["panics"] + stats.counters["protocol_errors"],
        0
    );
    eventually("nothing held", || rig.is_at_rest());
}
