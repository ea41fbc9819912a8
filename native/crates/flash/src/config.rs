use thiserror::Error;

use crate::layout::{Geometry, PAGE_BYTES};

/// Fewest segments of a store: one open of each kind, two in reserve, two to take turns.
pub const SEGMENTS_MIN: u32 = 6;
/// Most blocks of one store (28 bits).
pub const BLOCKS_MAX: u64 = holdfast_index::SLOTS_MAX;

/// What one store is made of. Fixed while it is open.
#[derive(Debug, Clone, PartialEq)]
pub struct FlashConfig {
    /// The cluster; a store of another one is refused.
    pub cluster: [u8; 16],
    /// The node; a store of another one is refused.
    pub node: u64,
    /// Size of a segment, bytes; a power of two, 4 MiB to 1 GiB. No block may be larger than a
    /// quarter of it. Must be what the store was created with.
    pub segment_bytes: u64,
    /// Most blocks in the index, 1,024 to 2^28; memory is taken as blocks come.
    pub blocks_max: u64,
    /// Part of the segments that durable blocks may take, percent, 0 to 90.
    pub durable_percent: u8,
    /// Payload that may wait to be written, bytes, 1 MiB to 64 GiB. Beyond it appends are refused.
    pub write_queue_bytes_max: u64,
    /// Payload of one write, bytes, 64 KiB to 64 MiB and at most a quarter of a segment. A larger
    /// block is written alone.
    pub batch_bytes_max: u32,
    /// Writes under way at a time for each kind of segment, 1 to 64.
    pub writes_in_flight_max: u32,
    /// Reads under way at a time, 1 to 4,096.
    pub reads_in_flight_max: u32,
    /// Reads that may wait, 1 to 2^20. Beyond it reads are refused.
    pub reads_queued_max: u32,
    /// What is written at all.
    pub admission: AdmissionConfig,
    /// What stays when a segment is reused.
    pub reclaim: ReclaimConfig,
}

/// What is written at all.
#[derive(Debug, Clone, PartialEq)]
pub struct AdmissionConfig {
    /// Budget of writes of cache blocks, bytes a second; 0 for no limit.
    pub write_bytes_per_s: u64,
    /// Seconds of budget that may be saved up, 1 to 3,600.
    pub burst_s: u32,
    /// Ids that are remembered to know a block that is used again, 1,024 to 2^28; 4 bytes each.
    pub ghost_ids: u32,
}

/// What stays when a segment of cache blocks is reused: a block whose last use is not older than
/// `base_percent` of a residence time, and `credit_percent` more for each doubling of one more
/// than its uses. A residence time is what it takes to write all cache segments once.
#[derive(Debug, Clone, PartialEq)]
pub struct ReclaimConfig {
    /// Percent of a residence time, 0 to 400.
    pub base_percent: u32,
    /// Percent of a residence time, 0 to 400.
    pub credit_percent: u32,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            write_bytes_per_s: 0,
            burst_s: 60,
            ghost_ids: 1 << 20,
        }
    }
}

impl Default for ReclaimConfig {
    fn default() -> Self {
        Self {
            base_percent: 40,
            credit_percent: 20,
        }
    }
}

impl Default for FlashConfig {
    fn default() -> Self {
        Self {
            cluster: [0; 16],
            node: 0,
            segment_bytes: 256 << 20,
            blocks_max: BLOCKS_MAX,
            durable_percent: 0,
            write_queue_bytes_max: 256 << 20,
            batch_bytes_max: 4 << 20,
            writes_in_flight_max: 4,
            reads_in_flight_max: 128,
            reads_queued_max: 65_536,
            admission: AdmissionConfig::default(),
            reclaim: ReclaimConfig::default(),
        }
    }
}

/// A configuration that cannot work, and the rule it breaks.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// The segment size is out of range or not a power of two.
    #[error("segment_bytes is {0}; it must be a power of two from 4 MiB to 1 GiB")]
    SegmentBytes(u64),
    /// A number is out of range.
    #[error("{field} is {value}; it must be from {min} to {max}")]
    Range {
        /// Name of the setting.
        field: &'static str,
        /// Configured value.
        value: u64,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
    },
}

impl FlashConfig {
    /// Checks every rule that the fields' descriptions state.
    ///
    /// # Errors
    /// The first rule broken, with the value that breaks it.
    pub fn validate(self) -> Result<Self, ConfigError> {
        if Geometry::new(self.segment_bytes, 1).is_none() {
            return Err(ConfigError::SegmentBytes(self.segment_bytes));
        }
        let batch_max = (64 << 20).min(self.segment_bytes / 4);
        let ranges = [
            ("blocks_max", self.blocks_max, 1024, BLOCKS_MAX),
            ("durable_percent", self.durable_percent.into(), 0, 90),
            (
                "write_queue_bytes_max",
                self.write_queue_bytes_max,
                1 << 20,
                64 << 30,
            ),
            (
                "batch_bytes_max",
                self.batch_bytes_max.into(),
                64 << 10,
                batch_max,
            ),
            (
                "writes_in_flight_max",
                self.writes_in_flight_max.into(),
                1,
                64,
            ),
            (
                "reads_in_flight_max",
                self.reads_in_flight_max.into(),
                1,
                4096,
            ),
            ("reads_queued_max", self.reads_queued_max.into(), 1, 1 << 20),
            ("admission.burst_s", self.admission.burst_s.into(), 1, 3600),
            (
                "admission.ghost_ids",
                self.admission.ghost_ids.into(),
                1024,
                1 << 28,
            ),
            (
                "reclaim.base_percent",
                self.reclaim.base_percent.into(),
                0,
                400,
            ),
            (
                "reclaim.credit_percent",
                self.reclaim.credit_percent.into(),
                0,
                400,
            ),
        ];
        for (field, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(ConfigError::Range {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(self)
    }

    /// Largest block, bytes.
    #[must_use]
    pub fn block_bytes_max(&self) -> u32 {
        (self.segment_bytes / 4 - PAGE_BYTES as u64) as u32
    }
}
