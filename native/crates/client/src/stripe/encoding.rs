use std::sync::Arc;

use holdfast_erasure::{Encoder, Scheme, StripeVersion, Workspace};

use super::decoding::block_runs;
use super::{StripeMemory, Stripes};
use crate::client::{Client, Request};
use crate::operation::OperationKind;
use crate::{ClientError, Segments};

impl Client {
    /// What a call on a space of striped blocks needs beside its segments, and the checksums of a
    /// put's chunks. A put's parity is made here, on the caller's thread and without the client's
    /// lock.
    pub(crate) fn stripes(
        &self,
        request: &Request<'_>,
        scheme: Scheme,
        block_bytes: usize,
    ) -> Result<(Option<Box<Stripes>>, Vec<u32>), ClientError> {
        let mut sums = Vec::new();
        let keys = request.keys.len();
        let memory = match (request.kind, &request.segments) {
            (OperationKind::Exists | OperationKind::Pin, _) => None,
            (OperationKind::Get, Some(segments)) => {
                Some(StripeMemory::new(scheme, segments, self.buffers())?)
            }
            (OperationKind::Put, Some(segments)) => {
                let memory = StripeMemory::new(scheme, segments, self.buffers())?;
                segments.acquire()?;
                sums = memory.encode(segments);
                segments.release();
                Some(memory)
            }
            _ => return Ok((None, sums)),
        };
        let memory = memory.map(Arc::new);
        let stripes = Stripes::new(scheme, block_bytes, keys, memory);
        Ok((Some(Box::new(stripes)), sums))
    }
}

impl StripeMemory {
    /// Makes parity and tails of every block; returns the checksums of all chunks, those of a slot
    /// together. The caller's regions must be held.
    fn encode(&self, segments: &Segments) -> Vec<u32> {
        let scheme = self.scheme();
        let encoder = Encoder::of(scheme);
        let mut workspace = Workspace::new();
        let mut chunk_sums = vec![0; scheme.shards() * self.blocks()];
        for block in 0..self.blocks() {
            let mut parity: Vec<&mut [u8]> = (scheme.data()..scheme.shards())
                .map(|slot| self.parity_mut(slot, block))
                .collect();
            // SAFETY: the regions are held, and the buffer is apart from them.
            let sums = unsafe {
                encoder.encode_block(&mut workspace, block_runs(segments, block), &mut parity)
            };
            let sums = sums.expect("segments were checked, and the buffer was made for them");
            let version = StripeVersion {
                scheme,
                block_bytes: segments.block_bytes() as u32,
                block_sum: sums.block,
            };
            for slot in 0..scheme.shards() {
                let tail = version.tail(slot);
                self.set_tail(slot, block, tail.encode());
                let sum = tail.chunk_sum(sums.shards[slot]);
                chunk_sums[slot * self.blocks() + block] = sum;
            }
        }
        chunk_sums
    }

    /// A parity shard to be filled.
    #[allow(clippy::mut_from_ref)]
    fn parity_mut(&self, slot: usize, block: usize) -> &mut [u8] {
        let address = self.parity_address(slot, block);
        // SAFETY: inside the buffer, which no lane knows yet; each shard is asked for once at a
        // time.
        unsafe { std::slice::from_raw_parts_mut(address, self.shard_bytes()) }
    }
}
