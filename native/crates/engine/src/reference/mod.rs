//! Published eviction policies, simulated, to compare the engine with. For benches only: nothing
//! in the engine uses them.
//!
//! They count as [`crate::measure::replay_engine`] does: a request is a list of block numbers in
//! prefix order; a block is a hit when it and every block before it in the request are stored;
//! then the missing ones are put. Capacity is in blocks.

mod belady;
mod lru;
mod s3fifo;

pub use belady::belady_hits;
pub use lru::lru_hits;
pub use s3fifo::s3fifo_hits;
