use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::{ptr, slice};

use crate::engine::Shared;
use crate::record::Slot;
use crate::state::Found;
use crate::{BlockLocation, BlockSlot, StoredBlock};

/// A committed block that is neither moved, reused nor freed as long as this value lives.
///
/// Dropping one enters the engine's lock; [`crate::Engine::release_batch`] enters it once for
/// many.
pub struct PinnedBlock {
    shared: Arc<Shared>,
    slot: Slot,
    location: BlockLocation,
}

impl PinnedBlock {
    pub(crate) fn new(shared: Arc<Shared>, found: &Found) -> Self {
        Self {
            shared,
            slot: found.slot,
            location: found.location,
        }
    }

    /// The block's bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the slot is pinned, so its bytes are mapped, initialised, and nobody writes
        // them while self lives.
        unsafe { slice::from_raw_parts(self.as_ptr(), self.block_bytes()) }
    }

    /// Address of the first byte, valid while this value lives.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.shared.address(&self.location)
    }

    /// The block's size, bytes.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.location.block_bytes as usize
    }

    /// CRC-32C that the writer gave.
    #[must_use]
    pub fn crc(&self) -> u32 {
        self.location.crc
    }

    /// The put that wrote it.
    #[must_use]
    pub fn write_id(&self) -> u32 {
        self.location.write_id
    }

    /// Where it lies in shared memory.
    #[must_use]
    pub fn location(&self) -> BlockLocation {
        self.location
    }

    /// Gives up the value without unpinning; the caller unpins the slot.
    pub(crate) fn into_slot(self) -> (Arc<Shared>, Slot) {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so its engine handle is moved out exactly once.
        (unsafe { ptr::read(&raw const this.shared) }, this.slot)
    }
}

impl Drop for PinnedBlock {
    fn drop(&mut self) {
        self.shared.state.lock().release(self.slot);
    }
}

impl fmt::Debug for PinnedBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("PinnedBlock")
            .field(&self.location)
            .finish()
    }
}

impl StoredBlock for PinnedBlock {
    fn as_slice(&self) -> &[u8] {
        self.as_slice()
    }

    fn crc(&self) -> u32 {
        self.crc()
    }

    fn write_id(&self) -> u32 {
        self.write_id()
    }
}

/// Room for one block, invisible until committed; dropped uncommitted, it is given back.
pub struct WriteSlot {
    shared: Arc<Shared>,
    slot: Slot,
    location: BlockLocation,
}

impl WriteSlot {
    pub(crate) fn new(shared: Arc<Shared>, slot: Slot, location: BlockLocation) -> Self {
        Self {
            shared,
            slot,
            location,
        }
    }

    /// The room; its bytes are unspecified until written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let bytes = self.block_bytes();
        // SAFETY: a slot that is written belongs to this value alone until it is committed or
        // given back; its bytes are mapped and were zeroed by the kernel or written before.
        unsafe { slice::from_raw_parts_mut(self.as_mut_ptr(), bytes) }
    }

    /// Address of the first byte, valid while this value lives.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.shared.address(&self.location)
    }

    /// The block's size, bytes.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        self.location.block_bytes as usize
    }

    /// Makes the block visible. False when its space was dropped, or a copy deleted, meanwhile.
    pub fn commit(self, crc: u32) -> bool {
        let (shared, slot) = self.into_slot();
        shared.state.lock().commit(slot, crc)
    }

    /// Gives up the value without freeing the slot; the caller commits or aborts it.
    pub(crate) fn into_slot(self) -> (Arc<Shared>, Slot) {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so its engine handle is moved out exactly once.
        (unsafe { ptr::read(&raw const this.shared) }, this.slot)
    }
}

impl Drop for WriteSlot {
    fn drop(&mut self) {
        self.shared.state.lock().abort(self.slot);
    }
}

impl fmt::Debug for WriteSlot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("WriteSlot")
            .field(&self.location)
            .finish()
    }
}

impl BlockSlot for WriteSlot {
    fn as_mut_slice(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }

    fn commit(self, crc: u32) -> bool {
        self.commit(crc)
    }
}
