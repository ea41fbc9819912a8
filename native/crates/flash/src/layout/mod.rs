//! The bytes of a store, as `docs/formats.md` draws them: encoders and decoders, no I/O.

mod batch;
mod entry;
mod error;
mod fields;
mod footer;
mod geometry;
mod head;
mod superblock;

pub use batch::{BATCH_ENTRIES_MAX, BatchHead, decode_batch, encode_batch};
pub use entry::{ENTRY_BYTES, Entry, FLAG_DEEPEST, FLAG_DURABLE, FLAG_REINSERTED, FLAG_TOMBSTONE};
pub use error::LayoutError;
pub use footer::{FooterTail, decode_footer, encode_footer};
pub use geometry::Geometry;
pub use head::{SegmentHead, SegmentKind};
pub use superblock::Superblock;

/// Version of every structure of the store.
pub const FORMAT_VERSION: u16 = 1;
/// Unit of everything that is read or written, bytes.
pub const PAGE_BYTES: usize = 4096;
/// Bytes of the head of a segment, of a batch, and of a footer's tail.
pub const HEAD_BYTES: usize = 64;

/// Random number of one store, new whenever a store is created.
pub type StoreId = [u8; 16];

/// Whole pages that `bytes` take.
#[must_use]
pub fn pages_of(bytes: u64) -> u32 {
    bytes.div_ceil(PAGE_BYTES as u64) as u32
}
