//! The flash store passes the suite of every chunk store, in memory and on a file.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use holdfast_engine::conformance;
use holdfast_flash::disk::{CrashImage, Disk, ThreadDisk, UringDisk};
use holdfast_flash::{BlockingStore, Durability, FlashConfig, FlashStore};
use support::Folder;

const DISK_BYTES: u64 = 64 << 20;

fn store(disk: Box<dyn Disk>, durability: Durability) -> BlockingStore {
    let config = FlashConfig {
        segment_bytes: 4 << 20,
        batch_bytes_max: 1 << 20,
        durable_percent: 50,
        ..FlashConfig::default()
    };
    let (store, report) = FlashStore::open(config, disk, 0).expect("an empty disk");
    assert!(report.created);
    // The suite's checksums are not those of its bytes.
    BlockingStore::new(store, durability, false, Duration::from_secs(20))
}

#[test]
fn in_memory() {
    for durability in [Durability::Cache, Durability::Durable] {
        conformance::run(|| {
            let disk = CrashImage::new(DISK_BYTES, 1).disk();
            store(Box::new(disk), durability)
        });
    }
}

#[test]
fn on_a_file() {
    let folder = Folder::new("conformance");
    let number = AtomicU32::new(0);
    let path = || folder.file(number.fetch_add(1, Ordering::Relaxed));
    for durability in [Durability::Cache, Durability::Durable] {
        conformance::run(|| {
            let disk = UringDisk::open(&path(), DISK_BYTES, 64).expect("a ring");
            store(Box::new(disk), durability)
        });
    }
    conformance::run(|| {
        let disk = ThreadDisk::open(&path(), DISK_BYTES, 4).expect("threads");
        store(Box::new(disk), Durability::Cache)
    });
}
