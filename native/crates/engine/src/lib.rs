//! The chunk engine: an arena of extents, an index of 16-byte ids, eviction, accounting.
//!
//! No sockets, no clock, no threads: callers pass the time in ([`Millis`]) and call from where
//! they like. Payload bytes are never touched under the engine's lock.
#![warn(missing_docs)]

mod arena;
mod config;
pub mod conformance;
mod engine;
mod error;
mod eviction;
mod extent;
mod handles;
pub mod measure;
mod record;
mod records;
pub mod reference;
mod state;
mod store;
mod types;

pub use config::{ConfigError, EngineConfig, EvictionConfig};
pub use engine::Engine;
pub use error::EngineError;
pub use handles::{PinnedBlock, WriteSlot};
pub use store::{BlockSlot, ChunkStore, Reservation, StoredBlock};
pub use types::{
    BlockId, BlockLocation, BlockStat, EngineStats, ListedBlock, Millis, PutKey, RefusedReason,
    SpaceSpec, TenantStats,
};
