//! Blocks of erasure-coded spaces: each is k data shards and m parity shards on as many nodes.
//!
//! A shard is stored as a *chunk*, an ordinary block of the same id: the shard's bytes and a tail
//! that says which shard of which version of the block it is (docs/formats.md, "Stripes"). Nodes
//! know nothing of stripes. An operation asks for chunks with ordinary requests whose segments
//! name the caller's memory for data shards and a buffer of the client's for the rest, so data
//! shards arrive where they belong and parity costs nothing unless it is needed.
//!
//! **Reads** ask for k chunks, and for one more for each that does not come or takes longer than
//! its node usually does; the first k of one version win, whatever else is under way is let go.
//! **Puts** go to all k + m nodes and count as stored when one chunk more than k is.

mod buffers;
mod decoding;
mod encoding;
mod key;
mod late;
mod memory;
mod pace;
mod placed;
mod read;
mod touch;
mod write;

use std::sync::Arc;

use crate::operation::OperationKind;

use holdfast_erasure::{SHARD_TAIL_BYTES, Scheme, ShardTail, StripeVersion};

pub(crate) use buffers::Buffers;
pub(crate) use decoding::DecodeBatch;
pub(crate) use key::StripeKey;
pub(crate) use memory::StripeMemory;
pub(crate) use pace::Pace;
pub(crate) use placed::ChunkGroups;
pub(crate) use touch::Touches;

/// The stripes of one operation.
pub(crate) struct Stripes {
    pub scheme: Scheme,
    /// Bytes of a block.
    block_bytes: usize,
    /// Where chunks lie, of calls that move them.
    pub memory: Option<Arc<StripeMemory>>,
    /// One entry for each key.
    pub keys: Vec<StripeKey>,
    /// Of a get: CRC-32C of each chunk that has arrived, all keys of a slot together.
    chunk_sums: Vec<u32>,
    /// Keys whose shards are there, with some to be computed from the others.
    computable: Vec<u32>,
    /// Keys that are being computed, or wait for it; in order.
    computing: Vec<u32>,
    /// How often late nodes were looked for.
    looks: u32,
}

/// Memory that a block of a call takes, the client's own included. A read's parity is counted in
/// full, though most reads touch none of it.
pub(crate) fn stripe_bytes(scheme: Scheme, block_bytes: usize, kind: OperationKind) -> u64 {
    match kind {
        OperationKind::Put | OperationKind::Get => {
            let chunk_bytes = scheme.shard_bytes(block_bytes) + SHARD_TAIL_BYTES;
            (scheme.shards() * chunk_bytes) as u64
        }
        _ => block_bytes as u64,
    }
}

/// What a read still needs for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// So many chunks more than are expected.
    Short(usize),
    /// The chunks that are expected may suffice.
    Expecting,
    /// Every data shard lies where it belongs, or nothing has to lie anywhere.
    Whole,
    /// The missing data shards can be computed.
    Computable,
}

impl Stripes {
    pub(crate) fn new(
        scheme: Scheme,
        block_bytes: usize,
        keys: usize,
        memory: Option<Arc<StripeMemory>>,
    ) -> Self {
        Self {
            scheme,
            block_bytes,
            keys: vec![StripeKey::default(); keys],
            chunk_sums: match memory {
                Some(_) => vec![0; scheme.shards() * keys],
                None => Vec::new(),
            },
            computable: Vec::new(),
            computing: Vec::new(),
            looks: 0,
            memory,
        }
    }

    /// The tail in a slot, if it is one of this space's blocks.
    fn tail(&self, slot: usize, key: u32) -> Option<ShardTail> {
        let bytes = self.memory.as_ref()?.tail(slot, key as usize);
        let tail = ShardTail::decode(&bytes).ok()?;
        let version = tail.version;
        let ours =
            version.scheme == self.scheme && version.block_bytes as usize == self.block_bytes;
        ours.then_some(tail)
    }

    /// Remembers the sum of a chunk that has arrived.
    fn note_sum(&mut self, slot: usize, key: u32, sum: u32) {
        let keys = self.keys.len();
        if let Some(known) = self.chunk_sums.get_mut(slot * keys + key as usize) {
            *known = sum;
        }
    }

    /// CRC-32C of the shard in a slot.
    fn shard_sum(&self, slot: usize, key: u32, tail: &ShardTail) -> u32 {
        tail.shard_sum(self.chunk_sums[slot * self.keys.len() + key as usize])
    }

    /// Whether what arrived in a slot is a chunk of this space.
    fn is_chunk(&self, slot: usize, key: u32) -> bool {
        self.memory.is_none() || self.tail(slot, key).is_some()
    }

    /// The version of which most shards are there, and how many unlike ones.
    fn best_version(&self, key: u32) -> Option<(StripeVersion, usize)> {
        self.versions(key)
            .into_iter()
            .map(|(version, indices)| (version, indices.count_ones() as usize))
            .max_by_key(|(_, shards)| *shards)
    }

    /// The versions of which shards are there, and which shards of each.
    fn versions(&self, key: u32) -> Vec<(StripeVersion, u64)> {
        let mut versions: Vec<(StripeVersion, u64)> = Vec::new();
        for slot in self.keys[key as usize].held_slots() {
            let Some(tail) = self.tail(slot, key) else {
                continue;
            };
            let bit = 1u64 << tail.index;
            match versions
                .iter_mut()
                .find(|(known, _)| *known == tail.version)
            {
                Some((_, indices)) => *indices |= bit,
                None => versions.push((tail.version, bit)),
            }
        }
        versions
    }

    /// Shards of one version that are there.
    fn usable_shards(&self, key: u32) -> usize {
        let held = self.keys[key as usize].held();
        if self.memory.is_none() || held < self.scheme.data() {
            // With fewer than k it makes no difference yet of which version they are.
            return held;
        }
        self.best_version(key).map_or(0, |(_, shards)| shards)
    }

    /// How a read stands for a key.
    fn standing(&self, key: u32) -> Standing {
        let (data, shards) = (self.scheme.data(), self.usable_shards(key));
        if shards < data {
            let lacking = data - shards;
            let expected = self.keys[key as usize].expected();
            return match expected < lacking {
                true => Standing::Short(lacking - expected),
                false => Standing::Expecting,
            };
        }
        if self.memory.is_none() || self.lies_in_place(key) {
            return Standing::Whole;
        }
        Standing::Computable
    }

    /// Whether each data slot holds its own shard, all of one version.
    fn lies_in_place(&self, key: u32) -> bool {
        let first = self.held_tail(0, key).map(|tail| tail.version);
        first.is_some()
            && (0..self.scheme.data()).all(|slot| {
                self.held_tail(slot, key).is_some_and(|tail| {
                    usize::from(tail.index) == slot && Some(tail.version) == first
                })
            })
    }

    fn held_tail(&self, slot: usize, key: u32) -> Option<ShardTail> {
        let held = self.keys[key as usize]
            .held_slots()
            .any(|other| other == slot);
        held.then(|| self.tail(slot, key)).flatten()
    }

    /// Bytes of a chunk: a shard and its tail.
    pub(crate) fn chunk_bytes(&self) -> usize {
        self.scheme.shard_bytes(self.block_bytes) + SHARD_TAIL_BYTES
    }

    /// Whether nodes still owe answers.
    pub(crate) fn is_open(&self) -> bool {
        self.keys.iter().any(StripeKey::is_open)
    }

    /// Nobody will answer any more.
    pub(crate) fn close(&mut self) {
        for key in &mut self.keys {
            key.close();
        }
    }
}
