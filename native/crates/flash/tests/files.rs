//! The store on a real file: written, closed, opened anew, verified.

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use holdfast_engine::{PutKey, StoredBlock};
use holdfast_flash::disk::{Disk, ThreadDisk, UringDisk};
use holdfast_flash::{Append, AppendDone, Appended, Durability, FlashError, FlashStore};
use holdfast_wire::checksum::crc32c;
use support::{Folder, block, config, id, spec};

const DISK_BYTES: u64 = 64 << 20;
const BLOCKS: u64 = 300;
const LIMIT: Duration = Duration::from_secs(60);

fn write(store: &FlashStore, durability: Durability, space: u32) {
    let (sender, ends) = channel();
    let done: AppendDone = Arc::new(move |tag, result| {
        let _ = sender.send((tag, result));
    });
    let blocks = (0..BLOCKS).map(|number| Append {
        tag: number,
        key: PutKey {
            id: id(number),
            position: number as u32,
        },
        block: Box::new(block(number, 1, spec(space).block_bytes)),
    });
    let mut out = Vec::new();
    let spec = spec(space);
    store.append(&spec, durability, blocks.collect(), 1000, &done, &mut out);
    assert!(out.iter().all(|appended| *appended == Appended::Queued));
    for _ in 0..BLOCKS {
        let (_, result) = ends.recv_timeout(LIMIT).expect("an end");
        assert_eq!(result, Ok(()));
    }
}

fn on(open: impl Fn() -> Box<dyn Disk>) {
    let (store, report) = FlashStore::open(config(), open(), 1000).expect("an empty file");
    assert!(report.created);
    write(&store, Durability::Durable, 3);
    write(&store, Durability::Cache, 2);
    drop(store);
    let (store, report) = FlashStore::open(config(), open(), 2000).expect("a store");
    assert_eq!((report.blocks, report.segments_scanned), (2 * BLOCKS, 0));
    let checked = store.check(LIMIT);
    assert_eq!((checked.blocks, checked.bad.len()), (2 * BLOCKS, 0));
    let mut found = Vec::new();
    store.lookup(3, &[id(7)], 2000, true, &mut found);
    let location = found[0].expect("a stored block");
    assert_eq!(location.crc, block(7, 1, location.payload_bytes).crc());
}

#[test]
fn with_uring() {
    let folder = Folder::new("files-uring");
    on(|| Box::new(UringDisk::open(&folder.file(0), DISK_BYTES, 64).expect("a ring")));
}

#[test]
fn with_threads() {
    let folder = Folder::new("files-threads");
    on(|| Box::new(ThreadDisk::open(&folder.file(0), DISK_BYTES, 4).expect("threads")));
}

#[test]
fn a_store_of_another_version_is_refused_with_both_versions() {
    let folder = Folder::new("files-version");
    let path = folder.file(0);
    let open = || {
        let disk = ThreadDisk::open(&path, DISK_BYTES, 2).expect("threads");
        FlashStore::open(config(), Box::new(disk), 1000)
    };
    drop(open().expect("an empty file"));
    let file = File::options().read(true).write(true).open(&path);
    let file = file.expect("the store's file");
    let mut page = [0; 4096];
    for offset in [0, 4096] {
        file.read_exact_at(&mut page, offset).expect("a superblock");
        page[4] = 9;
        let crc = crc32c(&page[..72]);
        page[72..76].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&page, offset).expect("a superblock");
    }
    let error = open().err().expect("another version");
    assert!(matches!(error, FlashError::Version { .. }));
    let text = error.to_string();
    assert!(
        text.contains("version 9") && text.contains("version 1"),
        "{text}"
    );
}
