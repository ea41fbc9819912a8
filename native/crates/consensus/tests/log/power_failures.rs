//! The power fails at any write, resize or sync; what was acknowledged is there after it.

use std::path::Path;
use std::sync::Arc;

use holdfast_consensus::{DurableLog, EngineLog, EngineLogConfig, LogError, MemoryLog, Recovered};
use tempfile::TempDir;

use crate::faulty_disk::FaultyDisk;
use crate::random_runs::{Pair, Random, seeds};

/// Small files, so that they are rotated, rewritten and reclaimed all the time.
const SMALL: EngineLogConfig = EngineLogConfig {
    file_bytes: 8 << 10,
    purge_bytes: 32 << 10,
};

/// Runs until the power fails; returns the states that a restart may find.
fn run_until_power_fails(
    random: &mut Random,
    disk: &FaultyDisk,
    directory: &TempDir,
) -> Vec<Recovered> {
    let twin = MemoryLog::new();
    let log = EngineLog::open_on(directory.path(), SMALL, Arc::new(disk.clone())).expect("open");
    log.bootstrap(&[1, 2, 3]).expect("bootstrap");
    twin.bootstrap(&[1, 2, 3]).expect("bootstrap");
    let mut term = 1;
    let mut possible = vec![twin.recovered().expect("recovered")];
    disk.cut_power_after(random.below(400));
    while !disk.is_cut() {
        // The write in which it fails may or may not count; what comes after it in the same step
        // never reached the disk.
        let mut failed = false;
        let mut observe = |now, synced| {
            if !failed {
                failed = disk.is_cut();
                if synced && !failed {
                    possible.clear();
                }
                possible.push(now);
            }
        };
        let mut pair = Pair {
            log: &log,
            twin: &twin,
            observe: &mut observe,
        };
        pair.step(random, &mut term);
    }
    possible
}

#[test]
fn synced_writes_survive_and_unsynced_ones_are_whole_or_gone() {
    for seed in seeds(150) {
        println!(
            "replay: HOLDFAST_SEED={seed} cargo test -p holdfast-consensus --test log synced_writes"
        );
        let mut random = Random(seed);
        let disk = FaultyDisk::default();
        let (before, after) = (TempDir::new().expect("dir"), TempDir::new().expect("dir"));
        let possible = run_until_power_fails(&mut random, &disk, &before);
        let chance = random.below(101);
        disk.restore(after.path(), || random.below(100) < chance);
        let log = open(after.path()).expect("a torn tail is tolerated");
        let found = log.recovered().expect("recovered");
        assert!(
            possible.contains(&found),
            "found {}, possible {:?}",
            summary(&found),
            possible.iter().map(summary).collect::<Vec<_>>()
        );
        // And it serves on: the same steps on both, over another restart.
        let twin = MemoryLog::new();
        twin.write(
            Some(&found.start),
            Some(&found.hard_state),
            &found.entries,
            true,
        )
        .expect("twin");
        let mut term = found.hard_state.term();
        for _ in 0..20 {
            serve(&mut random, &log, &twin, &mut term);
        }
        log.close().expect("close");
        let log = open(after.path()).expect("open again");
        let expected = twin.recovered().expect("recovered");
        assert_eq!(log.recovered().expect("recovered"), expected);
    }
}

#[test]
fn long_runs_with_restarts_match_the_twin() {
    for seed in seeds(10) {
        println!(
            "replay: HOLDFAST_SEED={seed} cargo test -p holdfast-consensus --test log long_runs"
        );
        let mut random = Random(seed ^ 0x5eed);
        let directory = TempDir::new().expect("dir");
        let twin = MemoryLog::new();
        twin.bootstrap(&[1, 2, 3]).expect("bootstrap");
        let mut log = open(directory.path()).expect("open");
        log.bootstrap(&[1, 2, 3]).expect("bootstrap");
        let mut term = 1;
        for number in 0..400 {
            serve(&mut random, &log, &twin, &mut term);
            if number % 40 == 39 {
                log.close().expect("close");
                log = open(directory.path()).expect("open");
                let expected = twin.recovered().expect("recovered");
                assert_eq!(
                    log.recovered().expect("recovered"),
                    expected,
                    "step {number}"
                );
            }
        }
        let bytes = log.bytes_on_disk().expect("bytes");
        assert!(
            bytes < 1 << 20,
            "{bytes} bytes are kept: files are not reclaimed"
        );
    }
}

/// On a disk that does not really sync: the time goes into the runs.
fn open(directory: &Path) -> Result<EngineLog<FaultyDisk>, LogError> {
    EngineLog::open_on(directory, SMALL, Arc::default())
}

fn serve(random: &mut Random, log: &EngineLog<FaultyDisk>, twin: &MemoryLog, term: &mut u64) {
    let observe = &mut |_, _| {};
    Pair { log, twin, observe }.step(random, term);
}

fn summary(state: &Recovered) -> String {
    format!(
        "{}..={} term {} commit {}",
        state.start.index,
        state.last_index(),
        state.hard_state.term(),
        state.hard_state.commit()
    )
}
