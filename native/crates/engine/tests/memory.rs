//! Memory beside the payload stays within its budget.

use holdfast_engine::measure::{fill_engine, lookup_engine};
use holdfast_engine::{Engine, EngineConfig, SpaceSpec};

const BLOCKS: u64 = 1_000_000;
const BLOCK_BYTES: u32 = 64;

fn filled(index_blocks_max: Option<u64>) -> (Engine, SpaceSpec, u64) {
    let extent_bytes = 1 << 20;
    let engine = Engine::new(EngineConfig {
        arena_bytes: (BLOCKS * u64::from(BLOCK_BYTES)).next_multiple_of(extent_bytes),
        extent_bytes,
        prefault: false,
        huge_pages: false,
        index_blocks_max,
        ..EngineConfig::default()
    });
    let engine = engine.expect("an engine");
    let spec = SpaceSpec {
        tenant: 1,
        space: 1,
        block_bytes: BLOCK_BYTES,
        ttl_s: 0,
        priority: 0,
    };
    let filled = fill_engine(&engine, &spec, 0, BLOCKS).expect("room for all");
    (engine, spec, filled.index_bytes_max)
}

#[test]
fn a_million_blocks_cost_at_most_39_bytes_each() {
    let (engine, spec, index_bytes) = filled(None);
    assert_eq!(engine.stats().blocks, BLOCKS);
    assert!(
        index_bytes <= 38 * BLOCKS,
        "{index_bytes} bytes after the fill"
    );
    // Evictions add what the policy remembers of evicted blocks, and the lists of victims.
    let churn = fill_engine(&engine, &spec, BLOCKS, BLOCKS / 4).expect("room for all");
    let bytes = churn.index_bytes_max;
    assert!(bytes <= 39 * BLOCKS, "{bytes} bytes after evictions");
    let found = lookup_engine(&engine, 1, BLOCKS, 500);
    assert!((found.found as f64 / found.keys as f64) < 0.5);
    engine.verify();
}

#[test]
fn an_index_sized_once_does_not_grow() {
    let (engine, _, index_bytes) = filled(Some(BLOCKS));
    assert!(
        index_bytes <= 38 * BLOCKS,
        "{index_bytes} bytes after the fill"
    );
    let found = lookup_engine(&engine, 1, BLOCKS, 500);
    assert_eq!(found.found * 2, found.keys);
}
