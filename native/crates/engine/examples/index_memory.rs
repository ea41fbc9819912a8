//! Memory and speed of the index: `cargo run --release --example index_memory -- [BLOCKS]`.

use std::env;
use std::error::Error;

use holdfast_engine::measure::{fill_engine, lookup_engine};
use holdfast_engine::{Engine, EngineConfig, SpaceSpec};

const BLOCK_BYTES: u32 = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let blocks: u64 = env::args()
        .nth(1)
        .map_or(Ok(10_000_000), |text| text.parse())?;
    let extent_bytes = 16 << 20;
    let engine = Engine::new(EngineConfig {
        arena_bytes: (blocks * u64::from(BLOCK_BYTES)).next_multiple_of(extent_bytes),
        extent_bytes,
        prefault: false,
        ..EngineConfig::default()
    })?;
    let spec = SpaceSpec {
        tenant: 1,
        space: 1,
        block_bytes: BLOCK_BYTES,
        ttl_s: 0,
        priority: 0,
    };
    for (what, first, count) in [("fill", 0, blocks), ("turn over", blocks, blocks / 2)] {
        let fill = fill_engine(&engine, &spec, first, count)?;
        println!(
            "{what}: {:.2} million puts/s, longest batch of 256 {:.2} ms, index {:.2} bytes a block",
            count as f64 / fill.elapsed.as_secs_f64() / 1e6,
            fill.batch_max.as_secs_f64() * 1e3,
            fill.index_bytes_max as f64 / engine.stats().blocks as f64,
        );
    }
    for first in [0, blocks] {
        let lookups = lookup_engine(&engine, 1, first + blocks / 2, 20_000);
        println!(
            "exists: {:.1} million keys/s, {:.3} found",
            lookups.keys as f64 / lookups.elapsed.as_secs_f64() / 1e6,
            lookups.found as f64 / lookups.keys as f64,
        );
    }
    Ok(())
}
