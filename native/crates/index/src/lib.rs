//! The table that finds a block's slot by its id, and the memory that such tables lie in.
//!
//! A [`Table`] holds slot numbers and eight bits of hash, never the ids: whoever owns the slots
//! compares them. So the memory engine and the flash store keep records of their own and share
//! this.
#![warn(missing_docs)]

mod bucket;
mod hash;
mod memory;
mod table;
#[cfg(test)]
mod tests;

pub use hash::{IdHash, NumberHasher, NumberMap};
pub use memory::{AnonymousMap, prefetch};
pub use table::{Probe, SLOTS_MAX, Slot, SlotHashes, Table};
