use std::sync::Arc;

use holdfast_erasure::{SHARD_TAIL_BYTES, Scheme};

use super::buffers::{Buffers, plane};
use crate::segments::BlockCursor;
use crate::{ClientError, Region, Segments};

/// Where the chunks of a batch lie: data shards in the caller's memory, everything else in a
/// buffer of the client's own.
///
/// The buffer holds, one behind the other: for each parity slot the shards of all blocks, for each
/// slot the tails of all blocks, and for each block the padding behind its last byte. (A shard that
/// lies in the slot of another has its own bytes there.)
pub(crate) struct StripeMemory {
    scheme: Scheme,
    shard_bytes: usize,
    blocks: usize,
    buffer: Arc<Region>,
    tails_at: usize,
    /// Of each slot, the chunks of all blocks.
    chunks: Vec<Arc<Segments>>,
}

impl StripeMemory {
    /// Memory for the chunks of `segments`; a buffer is lent for what the caller has no room for.
    pub(crate) fn new(
        scheme: Scheme,
        segments: &Segments,
        buffers: &Arc<Buffers>,
    ) -> Result<Self, ClientError> {
        let block_bytes = segments.block_bytes();
        let shard_bytes = scheme.shard_bytes(block_bytes);
        let (data, parity) = (scheme.data(), scheme.parity());
        let blocks = segments.blocks();
        let tails_at = parity * blocks * shard_bytes;
        let padding_at = tails_at + scheme.shards() * blocks * SHARD_TAIL_BYTES;
        let padding_bytes = data * shard_bytes - block_bytes;
        let buffer = buffers.lend(padding_at + blocks * padding_bytes)?;
        let mut padded = 0;
        let mut chunks = Vec::with_capacity(scheme.shards());
        for slot in 0..scheme.shards() {
            let (mut begin, mut end) = (0, 0);
            let mut behind = Vec::new();
            if slot < data {
                begin = (slot * shard_bytes).min(block_bytes);
                end = ((slot + 1) * shard_bytes).min(block_bytes);
                let padding = shard_bytes - (end - begin);
                if padding > 0 {
                    let base = padding_at + padded;
                    behind.push(plane(&buffer, base, padding_bytes, padding));
                    padded += padding;
                }
            } else {
                let base = (slot - data) * blocks * shard_bytes;
                behind.push(plane(&buffer, base, shard_bytes, shard_bytes));
            }
            let tails = tails_at + slot * blocks * SHARD_TAIL_BYTES;
            behind.push(plane(&buffer, tails, SHARD_TAIL_BYTES, SHARD_TAIL_BYTES));
            chunks.push(Arc::new(segments.window(begin, end, behind)));
        }
        let memory = Self {
            scheme,
            shard_bytes,
            blocks,
            buffer,
            tails_at,
            chunks,
        };
        memory.clear(padding_at, blocks * padding_bytes);
        Ok(memory)
    }

    /// Padding is stored as zeros.
    fn clear(&self, at: usize, bytes: usize) {
        // SAFETY: inside the buffer, which nobody else knows yet.
        unsafe { std::ptr::write_bytes((self.buffer.address() + at) as *mut u8, 0, bytes) };
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    pub(super) fn shard_bytes(&self) -> usize {
        self.shard_bytes
    }

    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// The chunks of a slot.
    pub(crate) fn chunks(&self, slot: usize) -> &Arc<Segments> {
        &self.chunks[slot]
    }

    /// Address of the tail of a block's chunk in a slot.
    fn tail_address(&self, slot: usize, block: usize) -> *mut [u8; SHARD_TAIL_BYTES] {
        assert!(slot < self.chunks.len() && block < self.blocks);
        let at = self.tails_at + (slot * self.blocks + block) * SHARD_TAIL_BYTES;
        (self.buffer.address() + at) as *mut [u8; SHARD_TAIL_BYTES]
    }

    /// The tail of a chunk that has arrived.
    pub(crate) fn tail(&self, slot: usize, block: usize) -> [u8; SHARD_TAIL_BYTES] {
        // SAFETY: inside the buffer; a lane wrote it under the lock and does not write it again.
        unsafe { self.tail_address(slot, block).read() }
    }

    /// Writes a tail before anything is sent.
    pub(crate) fn set_tail(&self, slot: usize, block: usize, tail: [u8; SHARD_TAIL_BYTES]) {
        // SAFETY: inside the buffer, which no lane knows yet.
        unsafe { self.tail_address(slot, block).write(tail) };
    }

    /// A block's parity shard.
    pub(crate) fn parity(&self, slot: usize, block: usize) -> &[u8] {
        let address = self.parity_address(slot, block);
        // SAFETY: inside the buffer; what arrives there has arrived when somebody looks.
        unsafe { std::slice::from_raw_parts(address, self.shard_bytes) }
    }

    /// Address of a block's parity shard.
    pub(super) fn parity_address(&self, slot: usize, block: usize) -> *mut u8 {
        let data = self.scheme.data();
        assert!(slot >= data && slot < self.chunks.len() && block < self.blocks);
        let at = ((slot - data) * self.blocks + block) * self.shard_bytes;
        (self.buffer.address() + at) as *mut u8
    }

    /// A copy of what lies in a slot, padding included.
    pub(crate) fn copy_of_shard(&self, slot: usize, block: usize) -> Vec<u8> {
        let chunks = &self.chunks[slot];
        let mut cursor = BlockCursor::default();
        let mut shard = Vec::with_capacity(self.shard_bytes);
        while shard.len() < self.shard_bytes
            && let Some((address, bytes)) =
                chunks.next(block, &mut cursor, self.shard_bytes - shard.len())
        {
            // SAFETY: memory that the operation holds; nothing is written there any more.
            shard.extend_from_slice(unsafe { std::slice::from_raw_parts(address, bytes) });
        }
        shard
    }
}
