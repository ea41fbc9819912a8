//! Copies out of shared memory. They run on a thread of the caller, without the client's lock,
//! in slices; whoever ends the operation waits for the slice under way.

use std::sync::Arc;

use holdfast_wire::KeyStatus;
use holdfast_wire::checksum::SummedCopy;

use crate::Segments;
use crate::lane::CopyBlock;
use crate::operation::CopyBatch;
use crate::segments::BlockCursor;
use crate::state::State;

/// What is copied between two looks at the operation, bytes.
const COPY_SLICE_BYTES: usize = 4 << 20;

impl State {
    pub(crate) fn on_located(&mut self, mut batch: CopyBatch) {
        if batch.blocks.is_empty() {
            self.absorb(batch.node, *batch.request);
            return;
        }
        let token = batch.request.operation;
        let Some(running) = self.operations.get_mut(&token) else {
            return;
        };
        if let Some(status) = running.ending {
            batch.request.fill(status);
            self.absorb(batch.node, *batch.request);
            return;
        }
        running.copy_batches.push_back(batch);
        self.copy_batches += 1;
        running.shared.changed.notify_all();
    }

    /// Blocks to copy for an operation. Whoever takes them must give them back through
    /// [`State::copied`].
    pub(crate) fn take_copies(&mut self, token: u64) -> Option<CopyBatch> {
        if self.copy_batches == 0 {
            return None;
        }
        let running = self.operations.get_mut(&token)?;
        let batch = running.copy_batches.pop_front()?;
        running.copying += 1;
        self.copy_batches -= 1;
        Some(batch)
    }

    /// Likewise, for any operation that nobody is waiting for: it was started, and goes on while
    /// whoever started it does something else.
    pub(crate) fn take_background_copies(&mut self) -> Option<CopyBatch> {
        if self.copy_batches == 0 {
            return None;
        }
        let waits = |token: u64| self.waiting.iter().any(|waiting| waiting.token == token);
        let token = self
            .operations
            .iter()
            .find(|(token, running)| !running.copy_batches.is_empty() && !waits(**token))
            .map(|(token, _)| *token)?;
        self.take_copies(token)
    }

    /// One slice has been copied: true when there is more, and it goes on.
    pub(crate) fn copied(&mut self, mut batch: CopyBatch) -> Option<CopyBatch> {
        let token = batch.request.operation;
        let running = self.operations.get_mut(&token)?;
        if running.ending.is_none() && !batch.blocks.is_empty() {
            return Some(batch);
        }
        running.copying -= 1;
        running.shared.changed.notify_all();
        if let Some(status) = running.ending {
            batch.request.fill(status);
            self.absorb(batch.node, *batch.request);
            self.settle_ended(token, status);
            return None;
        }
        self.counters.copies_mismatched += batch.mismatched.len() as u64;
        // Another chunk does as well as a second look at this one.
        let is_final = batch.request.second_look || batch.request.slot.is_some();
        if batch.mismatched.is_empty() || is_final {
            for at in &batch.mismatched {
                batch.request.results[*at] = Some(KeyStatus::Corrupt);
            }
            batch.request.corrupt = std::mem::take(&mut batch.corrupt);
            self.absorb(batch.node, *batch.request);
        } else {
            self.look_again(batch);
        }
        self.settle();
        None
    }

    /// Asks once more where blocks lie whose copy did not match: most likely they were evicted
    /// while they were copied.
    fn look_again(&mut self, mut batch: CopyBatch) {
        let token = batch.request.operation;
        let mut again = Vec::new();
        for at in batch.mismatched.iter().rev() {
            again.push(batch.request.keys.remove(*at));
            batch.request.ids.remove(*at);
            batch.request.results.remove(*at);
        }
        let node = batch.node;
        if let Some(mut running) = self.operations.remove(&token) {
            let mut request = running.request(batch.request.slot, again);
            request.second_look = true;
            self.hand_to_lane(&mut running, node, request);
            self.operations.insert(token, running);
        }
        self.absorb(node, *batch.request);
    }

    /// The last copy or computation of an operation that was ended meanwhile: now it can be
    /// finished.
    pub(crate) fn settle_ended(&mut self, token: u64, status: KeyStatus) {
        let Some(running) = self.operations.get_mut(&token) else {
            return;
        };
        if running.copying > 0 {
            return;
        }
        self.decodes -= usize::from(running.decode.take().is_some());
        for key in 0..running.keys.len() as u32 {
            if !running.keys[key as usize].decided {
                running.keys[key as usize].seen.add(status);
                let merged = running.merged(key);
                running.decide(key, merged);
            }
        }
        self.finish_if_done(token);
    }
}

impl CopyBatch {
    /// Copies one slice; needs no lock, because the operation is not finished before the batch
    /// is given back.
    pub(crate) fn copy_slice(&mut self) {
        let Some(segments) = self.request.segments.clone() else {
            self.blocks.clear();
            return;
        };
        let batch_bytes = segments.blocks() * segments.block_bytes();
        let mut left = COPY_SLICE_BYTES;
        while left > 0
            && let Some(block) = self.blocks.pop_front()
        {
            let key = self.request.keys[block.at] as usize;
            if copy_block(&segments, key, &block, batch_bytes) == block.crc {
                self.request.results[block.at] = Some(KeyStatus::Hit);
            } else {
                self.mismatched.push(block.at);
                self.corrupt
                    .push((self.request.ids[block.at], block.write_id));
            }
            left = left.saturating_sub(segments.block_bytes());
        }
    }
}

/// Copies one block and returns the checksum of the copy.
fn copy_block(segments: &Arc<Segments>, key: usize, block: &CopyBlock, batch_bytes: usize) -> u32 {
    let mut copy = SummedCopy::new(batch_bytes);
    let mut cursor = BlockCursor::default();
    let mut at = block.offset;
    while let Some((address, bytes)) = segments.next(key, &mut cursor, usize::MAX) {
        // SAFETY: the whole block lies inside the view, which was checked when it was located and
        // stays mapped while this block holds it; the destination is memory that the operation
        // holds. The node may change the view meanwhile: then the checksum tells.
        unsafe { copy.copy(block.view.address().add(at), address, bytes) };
        at += bytes;
    }
    copy.value()
}
