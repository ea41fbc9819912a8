use thiserror::Error;

/// Why a block is not taken.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum AppendRefused {
    /// The block has no bytes.
    #[error("the block has no bytes")]
    Empty,
    /// The payload is not of its space's size.
    #[error("the payload has {found} bytes and its space's blocks {expected}")]
    Size {
        /// Bytes of the payload.
        found: u64,
        /// Bytes of a block of the space.
        expected: u32,
    },
    /// The block is larger than a quarter of a segment.
    #[error("the block has {block_bytes} bytes, at most {block_bytes_max}; use larger segments")]
    TooLarge {
        /// Its size, bytes.
        block_bytes: u32,
        /// Largest block, bytes.
        block_bytes_max: u32,
    },
    /// The space is known with another tenant or block size.
    #[error("the space is known with tenant {tenant} and blocks of {block_bytes} bytes")]
    SpaceMismatch {
        /// Tenant that the store knows.
        tenant: u32,
        /// Block size that the store knows, bytes.
        block_bytes: u32,
    },
    /// The space holds blocks of the other durability.
    #[error("the space holds blocks of another durability; one space has one")]
    SpaceDurability,
    /// Too many spaces hold blocks.
    #[error("as many spaces hold blocks as the store can tell apart")]
    TooManySpaces,
    /// Too much waits to be written.
    #[error("{queued_bytes} bytes wait to be written, at most {bytes_max}; try again later")]
    QueueFull {
        /// What waits, bytes.
        queued_bytes: u64,
        /// Most that may wait, bytes.
        bytes_max: u64,
    },
    /// The index has as many blocks as it can.
    #[error("the index is full; raise blocks_max (now {blocks_max}) or use larger blocks")]
    IndexFull {
        /// Most blocks of the index.
        blocks_max: u64,
    },
    /// Durable blocks have filled their share.
    #[error(
        "durable blocks hold {used_bytes} of {limit_bytes} bytes; delete some or raise durable_percent"
    )]
    DurableFull {
        /// What they hold, bytes.
        used_bytes: u64,
        /// What they may hold, bytes.
        limit_bytes: u64,
    },
    /// The write budget is short and the block was not seen before.
    #[error("the write budget is used up and the block was not asked for before")]
    NotAdmitted,
    /// The block is the deepest of its put, and those of its space are never asked for again.
    #[error("the deepest blocks of this space's puts are never asked for again")]
    NeverUsed,
    /// The disk is not trusted any more.
    #[error("the store does not trust its disk since a write failed; open it again and check it")]
    Failed,
    /// The store is being closed.
    #[error("the store is being closed")]
    Stopped,
}

/// Why a queued block or tombstone did not get as far as was asked for.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum AppendFailure {
    /// The disk refused the write.
    #[error("the disk refused the write (errno {errno}); whether any of it remains is unknown")]
    Write {
        /// What the disk said.
        errno: i32,
    },
    /// The block was deleted before it was written.
    #[error("the block was deleted before it was written")]
    Deleted,
    /// The space was dropped before the block was written.
    #[error("the space was dropped before the block was written")]
    SpaceDropped,
    /// No segment could be freed.
    #[error("no segment could be freed for the block; delete some or raise the store's size")]
    NoRoom,
    /// The disk is not trusted any more.
    #[error("the store does not trust its disk any more; what became of the block is unknown")]
    Failed,
    /// The store was closed first.
    #[error("the store was closed before the block was written")]
    Stopped,
}

/// Why a block was not read. The first three are misses.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum ReadFailure {
    /// It was deleted or evicted since it was looked up.
    #[error("the block is gone since it was looked up")]
    Gone,
    /// The disk could not read it; it is dropped.
    #[error("the disk could not read the block (errno {errno}); it is dropped")]
    Io {
        /// What the disk said.
        errno: i32,
    },
    /// Its bytes do not match its checksum; it is dropped.
    #[error("the block's bytes do not match its checksum; it is dropped")]
    Corrupt,
    /// Too many reads wait.
    #[error("{reads_max} reads wait already; try again later")]
    Busy {
        /// Most that may wait.
        reads_max: u32,
    },
    /// The memory is not as the disk needs it.
    #[error("the memory must begin at a page and hold {needed} bytes; it holds {found}")]
    Room {
        /// Bytes that it holds.
        found: usize,
        /// Bytes that it must hold.
        needed: usize,
    },
    /// The store was closed first.
    #[error("the store was closed before the block was read")]
    Stopped,
}
