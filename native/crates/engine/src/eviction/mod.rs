//! Which block goes when room is needed.
//!
//! The seam is [`EvictionPolicy`]: it gives every block a word of 32 bits, renews it when the
//! block is touched, and ranks words. [`Harvest`] finds the slots that rank worst.

mod clock;
mod ghost;
mod harvest;
mod policy;
#[cfg(test)]
mod recency;
mod reuse;
#[cfg(test)]
mod tests;
mod word;

pub(crate) use clock::Clock;
pub(crate) use harvest::{CHUNK_SLOTS, Harvest, SlotRanks};
pub(crate) use policy::{Admission, EvictionPolicy, Ranking};
pub(crate) use reuse::ReusePolicy;
pub(crate) use word::{BlockKind, BlockWord, position_of_class};
