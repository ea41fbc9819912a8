//! The log's files: who may open them, what is damaged, what a full or failing disk does.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_consensus::{DurableLog, EngineLog, EngineLogConfig, LogError};
use tempfile::TempDir;

use crate::entries::{entries, hard_state};
use crate::faulty_disk::FaultyDisk;

fn open(directory: &Path) -> Result<EngineLog, LogError> {
    EngineLog::open(directory, EngineLogConfig::default())
}

fn log_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .expect("listing")
        .map(|file| file.expect("file").path())
        .filter(|path| path.extension().is_some_and(|name| name == "raftlog"))
        .collect();
    files.sort();
    files
}

/// A copy of a log whose process was killed: nothing was closed.
fn killed_copy(directory: &Path) -> TempDir {
    let copy = TempDir::new().expect("dir");
    for file in log_files(directory) {
        let name = file.file_name().expect("name");
        fs::copy(&file, copy.path().join(name)).expect("copy");
    }
    copy
}

fn filled(directory: &Path) -> EngineLog {
    let log = open(directory).expect("open");
    log.bootstrap(&[1, 2, 3]).expect("bootstrap");
    log.write(
        None,
        Some(&hard_state(1, 1)),
        &entries(2, 1, &[100; 50]),
        true,
    )
    .expect("write");
    log
}

#[test]
fn a_killed_process_loses_nothing() {
    let directory = TempDir::new().expect("dir");
    let log = filled(directory.path());
    log.write(None, Some(&hard_state(1, 40)), &[], false)
        .expect("commit");
    let copy = killed_copy(directory.path());
    let recovered = open(copy.path())
        .expect("open")
        .recovered()
        .expect("recovered");
    assert_eq!(recovered, log.recovered().expect("recovered"));
}

#[test]
fn garbage_behind_the_last_record_is_dropped() {
    for garbage in [
        vec![0xff; 700],
        (0..=255).cycle().take(5000).collect::<Vec<u8>>(),
        vec![1],
    ] {
        let directory = TempDir::new().expect("dir");
        let log = filled(directory.path());
        let expected = log.recovered().expect("recovered");
        log.close().expect("close");
        let last = log_files(directory.path()).pop().expect("a file");
        let mut file = OpenOptions::new().append(true).open(last).expect("open");
        file.write_all(&garbage).expect("garbage");
        let log = open(directory.path()).expect("a broken tail is tolerated");
        assert_eq!(log.recovered().expect("recovered"), expected);
        log.write(None, None, &entries(52, 1, &[7]), true)
            .expect("go on");
        log.close().expect("close");
        let log = open(directory.path()).expect("open");
        assert_eq!(log.last_index().expect("last"), 52);
    }
}

#[test]
fn a_record_torn_anywhere_takes_only_itself() {
    let directory = TempDir::new().expect("dir");
    let log = filled(directory.path());
    log.close().expect("close");
    let last = log_files(directory.path()).pop().expect("a file");
    let synced_bytes = fs::metadata(&last).expect("metadata").len();
    let log = open(directory.path()).expect("open");
    log.write(
        None,
        Some(&hard_state(2, 51)),
        &entries(52, 2, &[200; 3]),
        true,
    )
    .expect("write");
    log.close().expect("close");
    let whole = fs::read(&last).expect("read");
    for length in (synced_bytes as usize..whole.len()).step_by(7) {
        let copy = killed_copy(directory.path());
        let torn = copy.path().join(last.file_name().expect("name"));
        fs::write(&torn, &whole[..length]).expect("tear");
        let log = open(copy.path()).expect("a torn record is tolerated");
        assert_eq!(log.last_index().expect("last"), 51, "torn at {length}");
    }
}

#[test]
fn damage_before_the_tail_is_an_error() {
    let directory = TempDir::new().expect("dir");
    let config = EngineLogConfig {
        file_bytes: 4 << 10,
        ..EngineLogConfig::default()
    };
    let log = EngineLog::open(directory.path(), config).expect("open");
    log.bootstrap(&[1, 2, 3]).expect("bootstrap");
    for index in 2..100 {
        log.write(None, None, &entries(index, 1, &[400]), true)
            .expect("write");
    }
    log.close().expect("close");
    let files = log_files(directory.path());
    assert!(files.len() > 3);
    for at in [600, 1500, 2000] {
        let copy = killed_copy(directory.path());
        let damaged = copy.path().join(files[1].file_name().expect("name"));
        let mut file = OpenOptions::new().write(true).open(damaged).expect("open");
        file.seek(SeekFrom::Start(at)).expect("seek");
        file.write_all(&[0xa5; 40]).expect("damage");
        let error = EngineLog::open(copy.path(), config).expect_err("damaged");
        assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
    }
}

#[test]
fn a_commit_beyond_the_entries_means_that_they_were_lost() {
    let directory = TempDir::new().expect("dir");
    let log = open(directory.path()).expect("open");
    log.bootstrap(&[1]).expect("bootstrap");
    log.write(None, Some(&hard_state(1, 17)), &[], true)
        .expect("write");
    log.close().expect("close");
    let error = open(directory.path()).expect_err("lost entries");
    assert!(
        matches!(&error, LogError::Corrupt { reason, .. } if reason.contains("commit index 17")),
        "{error}"
    );
}

#[test]
fn a_directory_is_opened_once() {
    let directory = TempDir::new().expect("dir");
    let log = filled(directory.path());
    let error = open(directory.path()).expect_err("in use");
    assert!(matches!(error, LogError::InUse { .. }), "{error}");
    log.close().expect("close");
    open(directory.path()).expect("free again");
}

#[test]
fn a_place_that_is_no_directory_is_refused() {
    let directory = TempDir::new().expect("dir");
    let file = directory.path().join("file");
    fs::write(&file, b"x").expect("file");
    let error = open(&file).expect_err("a file");
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    let sizes = EngineLogConfig {
        file_bytes: 1 << 20,
        purge_bytes: 1,
    };
    let error = EngineLog::open(&directory.path().join("log"), sizes).expect_err("sizes");
    assert!(matches!(error, LogError::Misuse { .. }), "{error}");
}

#[test]
fn after_a_failed_sync_nothing_more_is_written() {
    let disk = FaultyDisk::default();
    let directory = TempDir::new().expect("dir");
    let place = directory.path().join("raft");
    let config = EngineLogConfig::default();
    let log = EngineLog::open_on(&place, config, Arc::new(disk.clone())).expect("open");
    log.bootstrap(&[1]).expect("bootstrap");
    disk.fail_syncs(true);
    let error = log
        .write(None, None, &entries(2, 1, &[5]), true)
        .expect_err("sync fails");
    assert!(matches!(error, LogError::SyncFailed { .. }), "{error}");
    disk.fail_syncs(false);
    for error in [
        log.write(None, None, &entries(2, 1, &[5]), true)
            .expect_err("write"),
        log.recovered().expect_err("recovered"),
        log.compact_to(&holdfast_consensus::Compaction::default())
            .expect_err("compact"),
    ] {
        assert!(matches!(error, LogError::SyncFailed { .. }), "{error}");
    }
    drop(log);
    let log = EngineLog::open_on(&place, config, Arc::new(disk)).expect("open again");
    assert!(log.last_index().expect("last") <= 2);
}

#[test]
fn a_full_disk_is_an_error_and_the_batch_can_be_retried() {
    let disk = FaultyDisk::default();
    let directory = TempDir::new().expect("dir");
    let config = EngineLogConfig::default();
    let log = EngineLog::open_on(directory.path(), config, Arc::new(disk.clone())).expect("open");
    log.bootstrap(&[1]).expect("bootstrap");
    disk.fill(true);
    let batch = entries(2, 1, &[5, 5]);
    let error = log
        .write(None, Some(&hard_state(1, 1)), &batch, true)
        .expect_err("full");
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    assert_eq!(log.last_index().expect("last"), 1);
    disk.fill(false);
    log.write(None, Some(&hard_state(1, 1)), &batch, true)
        .expect("retry");
    assert_eq!(log.recovered().expect("recovered").entries, batch);
}
