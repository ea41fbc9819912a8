use thiserror::Error;

use crate::{DATA_SHARDS_MAX, PARITY_SHARDS_MAX, SHARD_TAIL_BYTES, Scheme};

/// Why two numbers are no scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SchemeError {
    /// Too few or too many data shards.
    #[error("a stripe has 1 to {DATA_SHARDS_MAX} data shards, not {found}")]
    Data {
        /// What was asked for.
        found: u8,
    },
    /// Too few or too many parity shards.
    #[error("a stripe has 1 to {PARITY_SHARDS_MAX} parity shards, not {found}")]
    Parity {
        /// What was asked for.
        found: u8,
    },
}

/// Why bytes are no shard's tail. The chunk is damaged, or of a newer version: drop it, and repair
/// the shard from others.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TailError {
    /// Of another length.
    #[error("a shard's tail has {SHARD_TAIL_BYTES} bytes, not {found}")]
    Length {
        /// Bytes given.
        found: usize,
    },
    /// Does not begin with the magic.
    #[error("not a shard's tail: it begins with {found:02x?}")]
    BadMagic {
        /// What it begins with.
        found: [u8; 4],
    },
    /// Its own checksum does not match.
    #[error(
        "a shard's tail is damaged: its checksum is {found:#010x}, its bytes give {computed:#010x}"
    )]
    Damaged {
        /// The checksum in the tail.
        found: u32,
        /// That of its bytes.
        computed: u32,
    },
    /// Written by a newer program.
    #[error("a shard's tail is of version {found}, this program knows version 1: update it")]
    Version {
        /// The version in the tail.
        found: u8,
    },
    /// The scheme is none.
    #[error("a shard's tail names no scheme: {0}")]
    Scheme(#[from] SchemeError),
    /// The shard's number is not one of its scheme.
    #[error("a shard's tail says shard {found}, but {scheme} has {} of them", scheme.shards())]
    Index {
        /// The number in the tail.
        found: u8,
        /// The scheme in the tail.
        scheme: Scheme,
    },
    /// The block has no bytes or too many.
    #[error("a shard's tail says a block of {found} bytes; blocks have 1 to {limit}")]
    BlockBytes {
        /// What the tail says.
        found: u32,
        /// The limit, bytes.
        limit: u32,
    },
}

/// Why a stripe was not encoded or rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ErasureError {
    /// The block has no bytes, too many, or not as many as its version says.
    #[error("the block's runs have {found} bytes, they must have {expected}")]
    BlockBytes {
        /// Bytes of the runs.
        found: u64,
        /// What is possible.
        expected: String,
    },
    /// Memory for another number of shards.
    #[error("there is memory for {found} parity shards, {scheme} has {}", scheme.parity())]
    ParityShards {
        /// Shards that there is memory for.
        found: usize,
        /// The scheme.
        scheme: Scheme,
    },
    /// Memory of another size.
    #[error("memory of shard {index} has {found} bytes, a shard of this block has {expected}")]
    ShardBytes {
        /// The shard.
        index: u8,
        /// Bytes given.
        found: usize,
        /// Bytes of a shard.
        expected: usize,
    },
    /// Not enough to go on with: the block is lost, or more shards must be asked for.
    #[error("{found} shards are present, {scheme} needs {}: get others", scheme.data())]
    TooFewShards {
        /// Unlike shards that are present.
        found: usize,
        /// The scheme.
        scheme: Scheme,
    },
    /// A shard of another write of the block. Shards of unlike versions are never mixed.
    #[error("shard {index} belongs to another version of the block: get one of the same version")]
    UnlikeVersion {
        /// The shard.
        index: u8,
    },
    /// A shard of another scheme than the decoder's.
    #[error("the block is stored as {found}, the decoder is for {expected}")]
    UnlikeScheme {
        /// The block's.
        found: Scheme,
        /// The decoder's.
        expected: Scheme,
    },
    /// A shard that was named twice.
    #[error("shard {index} was given twice")]
    Twice {
        /// The shard.
        index: u8,
    },
    /// A parity shard is no part of the block's memory.
    #[error("shard {index} of {scheme} is parity and cannot lie in the block")]
    ParityInBlock {
        /// The shard.
        index: u8,
        /// The scheme.
        scheme: Scheme,
    },
    /// A number that the scheme does not have.
    #[error("there is no shard {index} in {scheme}")]
    NoSuchShard {
        /// The shard.
        index: u8,
        /// The scheme.
        scheme: Scheme,
    },
    /// The block that came out is not the one that was written: a miss.
    #[error(
        "the block's checksum is {found:#010x}, its writer's {expected:#010x}: a shard is wrong"
    )]
    WrongBlock {
        /// The checksum of what came out.
        found: u32,
        /// The writer's.
        expected: u32,
    },
}
