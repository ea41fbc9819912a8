//! The flash store: blocks in an append-only log of segments on a file or block device.
//!
//! A tier below the memory engine. Bytes are drawn in `docs/formats.md`, choices in
//! `docs/decisions/0015-flash-store.md`. No sockets, no clock: callers pass the time in. Payload
//! is moved by one thread that owns the [`disk`]; nothing is copied on the way.
#![warn(missing_docs)]

mod admission;
mod blocking;
mod config;
pub mod disk;
mod error;
mod failures;
mod heap_block;
mod index;
pub mod layout;
mod log;
pub mod measure;
mod page_memory;
mod random;
mod restart;
mod state;
mod stats;
mod store;
mod types;
mod verify;

pub use blocking::{BlockingStore, FlashSlot};
pub use config::{
    AdmissionConfig, BLOCKS_MAX, ConfigError, FlashConfig, ReclaimConfig, SEGMENTS_MIN,
};
pub use error::FlashError;
pub use failures::{AppendFailure, AppendRefused, ReadFailure};
pub use heap_block::HeapBlock;
pub use log::Log;
pub use page_memory::PageMemory;
pub use restart::OpenReport;
pub use stats::{Counters, FlashStats, KindStats};
pub use store::FlashStore;
pub use types::{
    Append, AppendDone, Appended, DeleteDone, Durability, Location, ReadDone, ReadEnd, ReadInto,
    ReadRoom,
};
pub use verify::{BadBlock, Verified};
