//! Bytes that earlier builds stored must stay readable, and what is stored now must not change
//! unnoticed. `HOLDFAST_WRITE_GOLDEN=1` writes a log anew: only for a new version, beside the old.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_consensus::{
    Configuration, DurableLog, EngineLog, EngineLogConfig, EntryRecord, HardStateRecord, Recovered,
};
use tempfile::TempDir;

use crate::entries::{entries, hard_state, start};

fn golden_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/raft_log_v1")
}

fn copy_files(from: &Path, to: &Path) {
    for file in fs::read_dir(from).expect("listing") {
        let path = file.expect("file").path();
        if path.file_name().is_some_and(|name| name != "LOCK") {
            fs::copy(&path, to.join(path.file_name().expect("name"))).expect("copy");
        }
    }
}

fn expected() -> Recovered {
    let mut kept = entries(4, 3, &[5, 300, 20_000]);
    kept.extend(entries(7, 4, &[0]));
    Recovered {
        hard_state: hard_state(4, 6),
        start: start(3, 3),
        entries: kept,
    }
}

fn write_golden() {
    let directory = TempDir::new().expect("dir");
    let log = EngineLog::open(directory.path(), EngineLogConfig::default()).expect("open");
    log.bootstrap(&[1, 2, 3]).expect("bootstrap");
    log.write(None, Some(&hard_state(1, 1)), &entries(2, 1, &[9; 3]), true)
        .expect("old");
    log.write(
        Some(&start(2, 3)),
        Some(&hard_state(3, 2)),
        &entries(3, 3, &[7]),
        true,
    )
    .expect("snapshot");
    let expected = expected();
    log.write(None, Some(&expected.hard_state), &expected.entries, true)
        .expect("entries");
    log.compact_to(&expected.start).expect("compact");
    log.close().expect("close");
    fs::create_dir_all(golden_directory()).expect("golden directory");
    copy_files(directory.path(), &golden_directory());
}

#[test]
fn a_log_of_version_1_is_read() {
    if std::env::var_os("HOLDFAST_WRITE_GOLDEN").is_some() {
        write_golden();
    }
    let directory = TempDir::new().expect("dir");
    copy_files(&golden_directory(), directory.path());
    let log = EngineLog::open(directory.path(), EngineLogConfig::default()).expect("open");
    assert_eq!(log.recovered().expect("recovered"), expected());
}

#[test]
fn records_encode_to_the_same_bytes_for_ever() {
    let configuration = Configuration::from_parts(&[1, 300], &[4], &[1, 2], &[2], true);
    for (bytes, golden) in [
        (
            configuration.encode(),
            "0801 08ac02 1004 1801 1802 2002 2801",
        ),
        (HardStateRecord::new(7, 2, 300).encode(), "0807 1002 18ac02"),
        (entries(9, 3, &[2])[0].encode(), "1003 1809 22020c2b"),
    ] {
        assert_eq!(hex(&bytes), golden.replace(' ', ""));
    }
    let decoded = Configuration::decode(&configuration.encode()).expect("configuration");
    assert_eq!(decoded, configuration);
    let entry = entries(9, 3, &[2]).remove(0);
    assert_eq!(EntryRecord::decode(&entry.encode()).expect("entry"), entry);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
