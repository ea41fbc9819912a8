//! Measures of the engine itself, for benches and tests: replays of traces, fills, lookups.

mod fill;
mod replay;

pub use fill::{FillError, FillResult, LookupResult, fill_engine, lookup_engine};
pub use replay::{REPLAY_BLOCK_BYTES, ReplayError, ReplayResult, replay_engine, request_id};
