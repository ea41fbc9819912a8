use crate::{BlockId, Millis, PutKey, RefusedReason, SpaceSpec};

/// A committed block that stays where it is as long as this value lives.
pub trait StoredBlock: Send {
    /// The block's bytes.
    fn as_slice(&self) -> &[u8];
    /// CRC-32C that the writer gave for them.
    fn crc(&self) -> u32;
    /// The put that wrote them.
    fn write_id(&self) -> u32;
}

/// Room for one block, invisible until committed; dropped uncommitted, it is given back.
pub trait BlockSlot: Send {
    /// The room; its bytes are unspecified until written.
    fn as_mut_slice(&mut self) -> &mut [u8];
    /// Makes the block visible. False when its space was dropped meanwhile.
    fn commit(self, crc: u32) -> bool;
}

/// Result of a reservation, for one key.
#[derive(Debug)]
pub enum Reservation<S = crate::WriteSlot> {
    /// Write the block's bytes here, then commit.
    Write(S),
    /// A committed block of this id is stored; nothing to do.
    Present,
    /// Another put of the same id is under way, or everything evictable is in use.
    Busy,
    /// It can never be stored as asked.
    Refused(RefusedReason),
    /// The id stands earlier in the same batch and has that one's result.
    Duplicate,
}

/// Where blocks are kept: the seam that the memory engine fills and other media join.
///
/// Every implementation passes [`crate::conformance`].
pub trait ChunkStore: Send + Sync {
    /// A block held for reading.
    type Block: StoredBlock;
    /// Room for a block.
    type Slot: BlockSlot;

    /// For each id whether it is committed and not expired. Takes no recency.
    fn exists(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut [bool]);

    /// Replaces `out` by one entry per id, held while it lives.
    fn get(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut Vec<Option<Self::Block>>);

    /// Replaces `out` by one result per write.
    fn reserve(
        &self,
        spec: &SpaceSpec,
        writes: &[PutKey],
        write_id: u32,
        now: Millis,
        out: &mut Vec<Reservation<Self::Slot>>,
    );

    /// Drops the blocks; for each id whether it was there.
    fn delete(&self, space: u32, ids: &[BlockId], out: &mut [bool]);

    /// Drops every block of the space; slots in flight will not commit.
    fn drop_space(&self, space: u32);
}
