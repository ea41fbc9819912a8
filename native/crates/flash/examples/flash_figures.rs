//! Memory of the index, time of a restart and speed of the flash store:
//! `cargo run --release -p holdfast-flash --example flash_figures -- FOLDER [index|restart|speed]`.
//!
//! The folder needs room for 2 GiB.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs};

use holdfast_engine::SpaceSpec;
use holdfast_flash::disk::UringDisk;
use holdfast_flash::measure::{RestartShape, measure_index, measure_speed, write_sparse_store};
use holdfast_flash::{Durability, FlashConfig, FlashStore};

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: flash_figures FOLDER [index|restart|speed]";
    let folder = PathBuf::from(env::args().nth(1).ok_or(usage)?);
    let what = env::args().nth(2);
    let wanted = |name: &str| what.as_deref().is_none_or(|what| what == name);
    if wanted("index") {
        index()?;
    }
    if wanted("restart") {
        restart(&folder.join("restart.store"))?;
    }
    if wanted("speed") {
        speed(&folder.join("speed.store"))?;
    }
    Ok(())
}

fn index() -> Result<(), Box<dyn Error>> {
    let memory = measure_index(10_000_000, 1 << 20)?;
    println!(
        "index: {} blocks, {:.2} bytes a block at most, {:.2} million a second",
        memory.blocks,
        memory.bytes_per_block_max,
        memory.blocks as f64 / memory.elapsed.as_secs_f64() / 1e6,
    );
    Ok(())
}

fn restart(path: &Path) -> Result<(), Box<dyn Error>> {
    let config = FlashConfig::default();
    for block_bytes in [1 << 20, 64 << 10] {
        let mut seen = Vec::new();
        for segments in [1024u32, 4096] {
            let shape = RestartShape {
                segments,
                block_bytes,
            };
            let blocks = write_sparse_store(path, &config, shape)?;
            let disk = Box::new(UringDisk::open(path, 0, 128)?);
            let begin = Instant::now();
            let (store, report) = FlashStore::open(config.clone(), disk, 1_000_000)?;
            let seconds = begin.elapsed().as_secs_f64();
            assert_eq!((report.blocks, report.segments_scanned), (blocks, 0));
            drop(store);
            let tib = f64::from(segments) * config.segment_bytes as f64 / 2f64.powi(40);
            println!(
                "restart: {tib} TiB, {block_bytes} byte blocks, {blocks} blocks: {seconds:.3} s"
            );
            seen.push((tib, blocks as f64, seconds));
        }
        let (tib, blocks, seconds) = (
            seen[1].0 - seen[0].0,
            seen[1].1 - seen[0].1,
            seen[1].2 - seen[0].2,
        );
        println!(
            "restart: slope {:.3} s/TiB, {:.3} s per million blocks",
            seconds / tib,
            seconds / (blocks / 1e6),
        );
    }
    fs::remove_file(path)?;
    Ok(())
}

fn speed(path: &Path) -> Result<(), Box<dyn Error>> {
    for (durability, block_bytes) in [
        (Durability::Cache, 1 << 20),
        (Durability::Durable, 1 << 20),
        (Durability::Cache, 64 << 10),
        (Durability::Durable, 64 << 10),
    ] {
        let config = FlashConfig {
            segment_bytes: 64 << 20,
            durable_percent: 90,
            ..FlashConfig::default()
        };
        let disk = UringDisk::open(path, 2 << 30, 256)?;
        let direct = disk.is_direct();
        let (store, _) = FlashStore::open(config, Box::new(disk), 1_000_000)?;
        let spec = SpaceSpec {
            tenant: 1,
            space: 1,
            block_bytes,
            ttl_s: 0,
            priority: 0,
        };
        let count = (768 << 20) / u64::from(block_bytes);
        let speed = measure_speed(&store, &spec, durability, count).ok_or("a failed block")?;
        println!(
            "{durability:?}, {block_bytes} byte blocks, direct {direct}: write {:.2} GB/s, read {:.2} GB/s, {:.1} blocks a sync",
            speed.write_bytes_per_s / 1e9,
            speed.read_bytes_per_s / 1e9,
            speed.blocks_per_sync,
        );
        drop(store);
        fs::remove_file(path)?;
    }
    Ok(())
}
