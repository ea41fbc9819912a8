use std::io;

/// Why a call was refused. What becomes of single keys is never an error but a status.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A setting is out of its range.
    #[error("{field} is {value}; it must be from {least} to {most}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: u64,
        /// Smallest allowed.
        least: u64,
        /// Largest allowed.
        most: u64,
    },
    /// The client or the region was closed before.
    #[error("the {what} is closed: make a new one")]
    Closed {
        /// What is closed.
        what: &'static str,
    },
    /// The process was forked from the one that made the client.
    #[error(
        "this client belongs to process {parent}, this is its child {child}: connect anew after a fork"
    )]
    Forked {
        /// The process that made it.
        parent: u32,
        /// This process.
        child: u32,
    },
    /// The segments do not fit their regions or the call.
    #[error(transparent)]
    Segments(#[from] SegmentsError),
    /// Too much is under way already.
    #[error(
        "{asked} {what} more would be in flight than the {limit} allowed ({in_flight} are): wait for some"
    )]
    InFlight {
        /// What is counted.
        what: &'static str,
        /// How many the call asks for.
        asked: u64,
        /// How many are under way.
        in_flight: u64,
        /// How many may be.
        limit: u64,
    },
    /// The space was never bound on this client.
    #[error("space {0} is not bound on this client: open the space first")]
    UnknownSpace(u32),
    /// More keys than one call takes.
    #[error("{keys} keys in one call, at most {limit} are possible: split the batch")]
    TooManyKeys {
        /// Keys given.
        keys: usize,
        /// Largest number.
        limit: usize,
    },
    /// A cluster map that contradicts itself.
    #[error("cluster map of epoch {epoch}: {what} is {found}, expected {expected}")]
    Map {
        /// Its epoch.
        epoch: u64,
        /// The part that does not fit.
        what: &'static str,
        /// What was found.
        found: i64,
        /// What would fit.
        expected: i64,
    },
    /// A ticket of the wrong length.
    #[error("a ticket has {expected} bytes, this one has {found}")]
    Ticket {
        /// Bytes found.
        found: usize,
        /// Bytes of a ticket.
        expected: usize,
    },
    /// The operation has not ended.
    #[error("the operation is still under way: wait for it first")]
    NotDone,
    /// The kernel refused.
    #[error("{call} failed: {source}")]
    System {
        /// The call.
        call: &'static str,
        /// The kernel's word.
        source: io::Error,
    },
}

/// How segments do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentsError {
    /// No plane, or none with bytes.
    #[error("segments need at least one plane with at least one byte a block")]
    Empty,
    /// A block would be larger than the protocol allows.
    #[error("a block of {bytes} bytes is larger than the {limit} bytes allowed")]
    BlockTooLarge {
        /// Bytes of a block.
        bytes: u64,
        /// Largest block.
        limit: u64,
    },
    /// A run lies outside its region.
    #[error(
        "plane {plane}: index {index} reaches bytes [{begin}, {end}) of a region of {nbytes} bytes"
    )]
    OutOfBounds {
        /// Which plane.
        plane: usize,
        /// Which block index, as given.
        index: i64,
        /// First byte reached.
        begin: i128,
        /// One behind the last byte reached.
        end: i128,
        /// The region's size.
        nbytes: usize,
    },
    /// More blocks or fewer than keys.
    #[error("{keys} keys but segments of {blocks} blocks")]
    BlockCount {
        /// Keys of the call.
        keys: usize,
        /// Blocks of the segments.
        blocks: usize,
    },
    /// The blocks have another size than the space's.
    #[error("space {space} has blocks of {expected} bytes, the segments describe {found}")]
    BlockBytes {
        /// The space.
        space: u32,
        /// Its block size, bytes.
        expected: u64,
        /// The segments' block size, bytes.
        found: u64,
    },
    /// A get into memory that must not be written.
    #[error("plane {plane} lies in a read-only region: a get cannot write there")]
    ReadOnly {
        /// Which plane.
        plane: usize,
    },
}
