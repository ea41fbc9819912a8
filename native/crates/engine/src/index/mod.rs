//! The index: which slot holds an id. It stores slots and eight bits of hash, never the id.

mod bucket;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::{SlotHashes, Table};
