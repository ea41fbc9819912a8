/// What the engine knows a block by; see `holdfast_wire::BlockId`.
pub type BlockId = [u8; 16];

/// Monotonic milliseconds. The engine reads no clock: the caller passes the time in.
pub type Millis = u64;

/// What the engine must know of a space to store its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceSpec {
    /// Tenant's number; blocks of two tenants never share an extent.
    pub tenant: u32,
    /// Space's number, unique over all tenants.
    pub space: u32,
    /// Size of every block of the space, bytes.
    pub block_bytes: u32,
    /// Time to live, seconds; 0 for none.
    pub ttl_s: u32,
    /// Higher stays longer; each step is worth half a residence time.
    pub priority: u8,
}

/// One block that a caller wants to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutKey {
    /// The block's id.
    pub id: BlockId,
    /// The block's place in its prefix, counted from 0; deep blocks are evicted first.
    pub position: u32,
}

/// Where a committed block lies in shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLocation {
    /// The extent's number.
    pub extent: u32,
    /// The number of the memory file behind the extent; a replaced file has another.
    pub view: u32,
    /// Where the block begins, bytes from the beginning of the extent.
    pub offset: u64,
    /// The block's size, bytes.
    pub block_bytes: u32,
    /// CRC-32C of the block's bytes.
    pub crc: u32,
    /// The put that wrote it.
    pub write_id: u32,
}

/// What is known of one stored block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockStat {
    /// CRC-32C of the block's bytes.
    pub crc: u32,
    /// The put that wrote it.
    pub write_id: u32,
    /// Logarithmic class of the position in the prefix, 0 to 15.
    pub position_class: u8,
    /// How often the block was asked for, 0 to 15; 15 stands for more as well.
    pub touches: u8,
    /// Time since the block was written, milliseconds, to 1/64 of the space's time to live
    /// (to the minute for a space without one).
    pub age_ms: u64,
    /// Whether eviction passes it over now.
    pub pinned: bool,
}

/// One block met by [`crate::Engine::list`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedBlock {
    /// The block's id.
    pub id: BlockId,
    /// Its space.
    pub space: u32,
    /// Its tenant.
    pub tenant: u32,
    /// Its size, bytes.
    pub block_bytes: u32,
    /// CRC-32C of its bytes.
    pub crc: u32,
    /// The put that wrote it.
    pub write_id: u32,
    /// Its place in its prefix, rounded down to the class that is stored.
    pub position: u32,
    /// Time to live left, milliseconds; `None` when it has none.
    pub ttl_left_ms: Option<u64>,
}

/// Why a block can never be stored as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedReason {
    /// The block has no bytes.
    Empty,
    /// The block is larger than an extent.
    TooLarge {
        /// Size asked for, bytes.
        block_bytes: u32,
        /// Size of an extent, bytes.
        extent_bytes: u64,
    },
    /// The tenant's limit is below the size of one block.
    Quota {
        /// The tenant's limit, bytes.
        limit_bytes: u64,
    },
    /// The space is known with another tenant or block size.
    SpaceMismatch {
        /// Tenant that the engine knows.
        tenant: u32,
        /// Block size that the engine knows, bytes.
        block_bytes: u32,
    },
    /// The node knows as many spaces as it can.
    TooManySpaces,
}

/// Counters and gauges of one engine. Counters only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Payload memory, bytes.
    pub capacity_bytes: u64,
    /// Payload of committed and in-flight blocks, bytes, rounded up to their slots.
    pub used_bytes: u64,
    /// Committed blocks (expired ones count until they are swept).
    pub blocks: u64,
    /// Slots that are being written.
    pub blocks_in_flight: u64,
    /// Extents in all.
    pub extents: u32,
    /// Extents that belong to no class.
    pub extents_free: u32,
    /// Used bytes of each tenant, ascending by tenant.
    pub tenants: Vec<TenantStats>,
    /// Keys found by get and locate.
    pub hits: u64,
    /// Keys not found by get and locate.
    pub misses: u64,
    /// Blocks committed.
    pub stored: u64,
    /// Blocks dropped to make room.
    pub evictions: u64,
    /// Blocks dropped because their time was over.
    pub expired: u64,
    /// Blocks dropped because their bytes did not match their checksum.
    pub corrupt: u64,
    /// Blocks dropped by request (delete, drop of a space, group moved away).
    pub deleted: u64,
    /// Puts refused.
    pub refused: u64,
    /// Puts answered busy.
    pub busy: u64,
    /// Reservations given up by the writer.
    pub aborted: u64,
    /// Extents that changed tenant or block size.
    pub extents_moved: u64,
    /// Blocks held by gets at this moment.
    pub pins: u64,
    /// Bytes under timed pins.
    pub pinned_bytes: u64,
    /// Memory that is not payload: index, records, pins, policy, bytes.
    pub index_bytes: u64,
}

/// One tenant's part of an engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TenantStats {
    /// Tenant's number.
    pub tenant: u32,
    /// Bytes of its committed and in-flight blocks, rounded up to their slots.
    pub used_bytes: u64,
    /// Bytes of the extents that it holds.
    pub extent_bytes: u64,
    /// Its limit, bytes, if one is set.
    pub limit_bytes: Option<u64>,
    /// Bytes under timed pins.
    pub pinned_bytes: u64,
}
