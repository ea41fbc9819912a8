use std::io;
use std::time::{Duration, Instant};

use holdfast_engine::measure::request_id;

use crate::FlashConfig;
use crate::layout::{Geometry, PAGE_BYTES, SegmentKind, pages_of};
use crate::state::{Reserved, State};
use crate::types::Durability;

/// What an index of so many blocks takes.
#[derive(Debug, Clone, Copy)]
pub struct IndexMemory {
    /// Blocks in it.
    pub blocks: u64,
    /// Most bytes a block while it was filled, table of segments included.
    pub bytes_per_block_max: f64,
    /// Time to fill it.
    pub elapsed: Duration,
}

/// Fills an index with blocks of `block_bytes` as a store would, without a disk.
///
/// # Errors
/// The kernel refuses the memory.
///
/// # Panics
/// So many blocks of this size fit no store.
pub fn measure_index(blocks: u64, block_bytes: u32) -> io::Result<IndexMemory> {
    let config = FlashConfig::default();
    let pages = u64::from(pages_of(block_bytes.into()));
    let segment_pages = config.segment_bytes / PAGE_BYTES as u64;
    let per_segment = segment_pages * 98 / 100 / pages;
    let segments = (blocks / per_segment + 2) as u32;
    let geometry = Geometry::new(config.segment_bytes, segments).expect("a store that large");
    let mut state = State::new(&config, geometry, [0; 16], 0)?;
    let spec = holdfast_engine::SpaceSpec {
        tenant: 1,
        space: 1,
        block_bytes,
        ttl_s: 3600,
        priority: 0,
    };
    for _ in 0..segments {
        state.segments.open(SegmentKind::Cache, 0);
    }
    let segment_bytes = 40 * u64::from(segments);
    let begin = Instant::now();
    let mut worst = 0.0f64;
    for number in 0..blocks {
        let id = request_id(number);
        let Reserved::Slot(slot) = state.reserve(&spec, Durability::Cache, id, 0) else {
            return Err(io::Error::other("the index took no more blocks"));
        };
        let page = number / per_segment * segment_pages;
        state
            .index
            .commit(slot, page + 1 + number % per_segment * pages);
        if number >= blocks / 2 && number.is_multiple_of(4096) {
            let bytes = state.index.bytes() + segment_bytes;
            worst = worst.max(bytes as f64 / (number + 1) as f64);
        }
    }
    Ok(IndexMemory {
        blocks,
        bytes_per_block_max: worst,
        elapsed: begin.elapsed(),
    })
}
