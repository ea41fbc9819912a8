//! The flash store: blocks in an append-only log of segments on a file or block device.
//!
//! A tier below the memory engine. Bytes are drawn in `docs/formats.md`, choices in
//! `docs/decisions/0015-flash-store.md`. No sockets, no clock: callers pass the time in. Payload
//! is moved by one thread that owns the [`disk`]; nothing is copied on the way.
#![warn(missing_docs)]

mod config;
pub mod disk;
mod error;
pub mod layout;
mod page_memory;

pub use config::{
    AdmissionConfig, BLOCKS_MAX, ConfigError, FlashConfig, ReclaimConfig, SEGMENTS_MIN,
};
pub use error::FlashError;
pub use page_memory::PageMemory;
