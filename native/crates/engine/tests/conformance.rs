//! The engine passes the suite of every chunk store.

use holdfast_engine::{Engine, EngineConfig, conformance};

#[test]
fn the_engine_is_a_chunk_store() {
    conformance::run(|| {
        Engine::new(EngineConfig {
            arena_bytes: 4 << 20,
            extent_bytes: 1 << 20,
            ..EngineConfig::default()
        })
        .expect("a small engine")
    });
}
