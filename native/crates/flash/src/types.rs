use std::any::Any;
use std::sync::Arc;

use holdfast_engine::{BlockId, PutKey, StoredBlock};
use holdfast_index::Slot;

use crate::failures::{AppendFailure, AppendRefused, ReadFailure};

/// When an append or a delete counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It was taken into the write queue; a crash may undo it.
    Cache,
    /// It is on stable storage.
    Durable,
}

/// A block to be written. Its memory is kept until it was.
pub struct Append {
    /// What its end is told with.
    pub tag: u64,
    /// The block's id and place in its prefix.
    pub key: PutKey,
    /// Payload, checksum and write id. Whole pages at a page's boundary are not copied.
    pub block: Box<dyn StoredBlock>,
}

/// What became of one block of an append at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It waits to be written. Durable blocks are acknowledged by their end, not by this.
    Queued,
    /// A block of this id is stored.
    Present,
    /// A block of this id is being written.
    Busy,
    /// It is not stored.
    Refused(AppendRefused),
}

/// Told once for each queued block, with its tag, by the store's thread: a cache block was
/// written and can be read, a durable one is on stable storage as well. It must not wait for the
/// store.
pub type AppendDone = Arc<dyn Fn(u64, Result<(), AppendFailure>) + Send + Sync>;

/// Told once for a delete: its tombstones are on stable storage, or may not be.
pub type DeleteDone = Box<dyn FnOnce(Result<(), AppendFailure>) + Send>;

/// A stored block and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// Its id.
    pub id: BlockId,
    /// Size, bytes.
    pub payload_bytes: u32,
    /// CRC-32C that its writer gave.
    pub crc: u32,
    /// The put that wrote it.
    pub write_id: u32,
    /// Its first page, counted over all segments.
    pub(crate) page: u64,
    /// Sequence of the segment: another one there means that the block is gone.
    pub(crate) sequence: u64,
    /// Its record.
    pub(crate) slot: Slot,
}

impl Location {
    /// Bytes that a room to read it into must have: whole pages.
    #[must_use]
    pub fn room_bytes(&self) -> usize {
        crate::layout::pages_of(self.payload_bytes.into()) as usize * crate::layout::PAGE_BYTES
    }
}

/// Memory that a block is read into. A [`ReadEnd`] gives it back; as `Box<dyn Any>` it becomes
/// again what it was.
///
/// # Safety
/// The memory stays where it is and as long as it is while the value lives and is not borrowed,
/// also when the value is moved; nobody else touches it meanwhile.
pub unsafe trait ReadRoom: Send + Any {
    /// The memory: at a page's boundary, and at least [`Location::room_bytes`] long.
    fn as_mut_slice(&mut self) -> &mut [u8];
}

// SAFETY: heap memory that the value owns alone; moving the value moves no byte of it.
unsafe impl ReadRoom for crate::PageMemory {
    fn as_mut_slice(&mut self) -> &mut [u8] {
        self
    }
}

// SAFETY: memory of the engine's arena, which stays where it is while the slot lives and belongs to
// it alone.
unsafe impl ReadRoom for holdfast_engine::WriteSlot {
    fn as_mut_slice(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

/// One block to be read.
pub struct ReadInto {
    /// What its end carries.
    pub tag: u64,
    /// The block, as a lookup told it.
    pub location: Location,
    /// Where its bytes go.
    pub room: Box<dyn ReadRoom>,
    /// Compare the bytes with the block's checksum before they are handed out.
    pub verify: bool,
}

/// The end of one read.
pub struct ReadEnd {
    /// As asked with.
    pub tag: u64,
    /// The block that was asked for.
    pub location: Location,
    /// The memory, given back. Its bytes are the block's when the result is well, else anything.
    pub room: Box<dyn ReadRoom>,
    /// Whether it was read.
    pub result: Result<(), ReadFailure>,
}

/// Told once for each read, by the store's thread or, when it is refused, by the caller's. It must
/// not wait for the store.
pub type ReadDone = Arc<dyn Fn(ReadEnd) + Send + Sync>;
