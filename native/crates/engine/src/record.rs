use std::mem::size_of;

use crate::BlockId;
use crate::eviction::BlockWord;

/// Number of a slot: the extent's number above, the slot's place in the extent below (28 bits).
pub(crate) use holdfast_index::Slot;

/// Handle of a space on this engine, 1 to [`SPACES_MAX`]; 0 marks a free record.
pub(crate) type SpaceHandle = u16;

/// Most spaces that one engine knows at a time.
pub(crate) const SPACES_MAX: u16 = (1 << STATE_SHIFT) - 1;

const STATE_SHIFT: u32 = 14;
const HANDLE_MASK: u16 = (1 << STATE_SHIFT) - 1;

/// What a used record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum SlotState {
    /// Committed, nothing holds it.
    Committed = 0,
    /// Reserved by a writer; indexed so that racing writers see it, invisible to readers.
    Writing = 1 << STATE_SHIFT,
    /// Committed, with an entry among the pins.
    Pinned = 2 << STATE_SHIFT,
    /// No longer indexed, kept until the last holder lets go.
    Doomed = 3 << STATE_SHIFT,
}

/// All that is kept of one slot outside its payload and its index entry: half a cache line.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
pub(crate) struct Record {
    /// The block's id; in a free record the first four bytes name the next free slot.
    pub(crate) id: BlockId,
    /// CRC-32C of the payload once committed; while it is written, whether it is a copy.
    pub(crate) crc: u32,
    /// The put that wrote or writes it.
    pub(crate) write_id: u32,
    /// What the eviction policy remembers.
    pub(crate) word: BlockWord,
    /// Handle of the space in the low 14 bits, [`SlotState`] above.
    tagged_space: u16,
    /// When it was written, in the space's own units, modulo 2^16.
    pub(crate) birth: u16,
}

const _: () = assert!(size_of::<Record>() == 32);

impl Record {
    /// A record that stands for a block being written.
    pub(crate) fn writing(
        id: BlockId,
        space: SpaceHandle,
        write_id: u32,
        word: BlockWord,
        birth: u16,
    ) -> Self {
        Self {
            id,
            crc: 0,
            write_id,
            word,
            tagged_space: space | SlotState::Writing as u16,
            birth,
        }
    }

    /// The same for a block that another node holds.
    pub(crate) fn copying(self) -> Self {
        Self {
            crc: u32::from(true),
            ..self
        }
    }

    /// Whether a block that another node holds is being copied into it.
    pub(crate) fn is_copying(&self) -> bool {
        self.state() == SlotState::Writing && self.crc != 0
    }

    /// A free record that names the next free slot of its extent.
    pub(crate) fn free(next: u32) -> Self {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&next.to_le_bytes());
        Self {
            id,
            crc: 0,
            write_id: 0,
            word: BlockWord::default(),
            tagged_space: 0,
            birth: 0,
        }
    }

    /// The next free slot that a free record names.
    pub(crate) fn next_free(&self) -> u32 {
        debug_assert!(self.is_free());
        u32::from_le_bytes([self.id[0], self.id[1], self.id[2], self.id[3]])
    }

    /// Whether no block lives here.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        self.tagged_space == 0
    }

    /// The space's handle; 0 for a free record.
    #[inline]
    pub(crate) fn space(&self) -> SpaceHandle {
        self.tagged_space & HANDLE_MASK
    }

    /// What the record stands for; a free record answers `Committed`, so ask for that first.
    #[inline]
    pub(crate) fn state(&self) -> SlotState {
        match self.tagged_space >> STATE_SHIFT {
            0 => SlotState::Committed,
            1 => SlotState::Writing,
            2 => SlotState::Pinned,
            _ => SlotState::Doomed,
        }
    }

    /// Changes what the record stands for.
    pub(crate) fn set_state(&mut self, state: SlotState) {
        self.tagged_space = self.space() | state as u16;
    }

    /// Whether readers may see it (its time may still be over).
    #[inline]
    pub(crate) fn is_visible(&self) -> bool {
        matches!(self.state(), SlotState::Committed | SlotState::Pinned) && !self.is_free()
    }

    /// Whether it is the block `id` of the space, in whatever state but doomed.
    #[inline]
    pub(crate) fn is_block(&self, id: &BlockId, space: SpaceHandle) -> bool {
        self.id == *id && self.space() == space && self.state() != SlotState::Doomed
    }
}
