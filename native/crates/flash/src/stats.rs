/// Counters and gauges of one store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlashStats {
    /// Blocks that can be read (expired ones count until they are met).
    pub blocks: u64,
    /// Segments that are free.
    pub segments_free: u32,
    /// Segments of cache blocks.
    pub cache: KindStats,
    /// Segments of durable blocks.
    pub durable: KindStats,
    /// Most that durable blocks may hold, bytes.
    pub durable_limit_bytes: u64,
    /// Payload of appends that are queued or being written, bytes.
    pub queued_bytes: u64,
    /// Blocks and tombstones that wait to be written.
    pub queued: u64,
    /// Reads that wait.
    pub reads_queued: u64,
    /// Memory of index and admission, bytes.
    pub index_bytes: u64,
    /// The disk is not trusted any more, nothing is written.
    pub failed: bool,
    /// Counters; they only grow.
    pub counters: Counters,
}

/// What one kind of segments holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindStats {
    /// Pages of blocks that can be read, bytes.
    pub live_bytes: u64,
    /// Pages of payload that nothing names any more, bytes.
    pub dead_bytes: u64,
    /// Segments that are written to or wait for their footer.
    pub segments_open: u32,
    /// Complete segments.
    pub segments_closed: u32,
    /// Segments whose live blocks are moved, or whose head is zeroed.
    pub segments_reclaimed: u32,
    /// Segments to which a write failed.
    pub segments_broken: u32,
}

/// Counters of one store; they only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Payload bytes written for callers.
    pub admitted_bytes: u64,
    /// Payload bytes written because their segment was reused.
    pub reinserted_bytes: u64,
    /// Bytes of heads and entries written, and of the ends of last pages.
    pub padding_bytes: u64,
    /// Bytes of footers written.
    pub footer_bytes: u64,
    /// Blocks written for callers.
    pub admitted: u64,
    /// Blocks written because their segment was reused.
    pub reinserted: u64,
    /// Batches written.
    pub batches: u64,
    /// Tombstones written.
    pub tombstones: u64,
    /// Blocks dropped because their segment was reused.
    pub evicted: u64,
    /// Blocks dropped because their time was over.
    pub expired: u64,
    /// Blocks dropped by delete.
    pub deleted: u64,
    /// Segments reused.
    pub reclaimed: u64,
    /// Lookups that found their block.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Reads that ended well.
    pub reads: u64,
    /// Payload bytes of those.
    pub read_bytes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Blocks and tombstones that waited for a sync, by the one that covered them.
    pub synced: u64,
    /// Appends refused because too much waited.
    pub refused_queue: u64,
    /// Appends refused because the write budget was short.
    pub refused_admission: u64,
    /// Deepest blocks of puts refused because those of their space are never asked for again.
    pub refused_deepest: u64,
    /// Appends refused because durable blocks had filled their share.
    pub refused_durable: u64,
    /// Appends refused for another reason.
    pub refused_other: u64,
    /// Reads that the disk failed; their blocks were dropped.
    pub read_errors: u64,
    /// Reads whose bytes did not match; their blocks were dropped.
    pub corrupt: u64,
    /// Writes that the disk failed.
    pub write_errors: u64,
    /// Syncs that the disk failed.
    pub sync_errors: u64,
}
