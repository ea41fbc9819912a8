use holdfast_engine::StoredBlock;

use crate::PageMemory;

/// A block in page-aligned memory of its own.
#[derive(Debug)]
pub struct HeapBlock {
    memory: PageMemory,
    bytes: usize,
    crc: u32,
    write_id: u32,
}

impl HeapBlock {
    /// The first `bytes` of `memory`, with what its writer says of them.
    ///
    /// # Panics
    /// `memory` is shorter.
    #[must_use]
    pub fn new(memory: PageMemory, bytes: usize, crc: u32, write_id: u32) -> Self {
        assert!(bytes <= memory.len(), "a block within its memory");
        Self {
            memory,
            bytes,
            crc,
            write_id,
        }
    }
}

impl StoredBlock for HeapBlock {
    fn as_slice(&self) -> &[u8] {
        &self.memory[..self.bytes]
    }

    fn crc(&self) -> u32 {
        self.crc
    }

    fn write_id(&self) -> u32 {
        self.write_id
    }
}
