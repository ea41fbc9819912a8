use crate::BlockLocation;

/// A committed block that is neither moved, reused nor freed as long as this value lives.
#[derive(Debug)]
pub struct PinnedBlock {}

impl PinnedBlock {
    /// The block's bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        unimplemented!()
    }
    /// Address of the first byte, valid while this value lives.
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        unimplemented!()
    }
    /// The block's size, bytes.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        unimplemented!()
    }
    /// CRC-32C that the writer gave.
    #[must_use]
    pub fn crc(&self) -> u32 {
        unimplemented!()
    }
    /// The put that wrote it.
    #[must_use]
    pub fn write_id(&self) -> u32 {
        unimplemented!()
    }
    /// Where it lies in shared memory.
    #[must_use]
    pub fn location(&self) -> BlockLocation {
        unimplemented!()
    }
}

/// Room for one block, invisible until committed; dropped uncommitted, it is given back.
#[derive(Debug)]
pub struct WriteSlot {}

impl WriteSlot {
    /// The room; its bytes are unspecified until written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        unimplemented!()
    }
    /// Address of the first byte, valid while this value lives.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        unimplemented!()
    }
    /// The block's size, bytes.
    #[must_use]
    pub fn block_bytes(&self) -> usize {
        unimplemented!()
    }
    /// Makes the block visible. False when its space was dropped meanwhile.
    pub fn commit(self, _crc: u32) -> bool {
        unimplemented!()
    }
}
