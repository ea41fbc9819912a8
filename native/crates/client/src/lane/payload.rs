use std::sync::Arc;

use holdfast_transport::{IoVector, Stream};
use holdfast_wire::KeyStatus;
use holdfast_wire::checksum::Crc32c;

use super::receiver::{Step, received};
use super::{LaneFailure, PIECE_BYTES};
use crate::Segments;
use crate::request::{Expected, Request};
use crate::segments::BlockCursor;

/// Most pieces of memory in one call to the kernel.
const PIECES_MAX: usize = 512;

/// Blocks on their way into the caller's memory.
pub(crate) struct PayloadReceive {
    pub request: Request,
    segments: Arc<Segments>,
    blocks: Vec<Expected>,
    at: usize,
    cursor: BlockCursor,
    digest: Crc32c,
    /// Bytes that have not arrived.
    pub remaining: u64,
}

/// Appends the memory of a request's blocks at `places`, the first of them from `cursor` on, as
/// much as one call moves; returns how many bytes that is.
pub(crate) fn line_up(
    segments: &Segments,
    request: &Request,
    places: impl Iterator<Item = usize>,
    mut cursor: BlockCursor,
    vectors: &mut Vec<IoVector>,
) -> usize {
    let mut room = PIECE_BYTES;
    for place in places {
        let block = request.keys[place] as usize;
        while room > 0 && vectors.len() < PIECES_MAX {
            let Some((address, bytes)) = segments.next(block, &mut cursor, room) else {
                break;
            };
            vectors.push(IoVector::new(address, bytes));
            room -= bytes;
        }
        if room == 0 || vectors.len() == PIECES_MAX {
            break;
        }
        cursor = BlockCursor::default();
    }
    PIECE_BYTES - room
}

impl PayloadReceive {
    /// `blocks` of `request` arrive, one behind the other.
    pub(crate) fn new(request: Request, segments: Arc<Segments>, blocks: Vec<Expected>) -> Self {
        let remaining = blocks.len() as u64 * segments.block_bytes() as u64;
        Self {
            request,
            segments,
            blocks,
            at: 0,
            cursor: BlockCursor::default(),
            digest: Crc32c::new(),
            remaining,
        }
    }

    /// One read, straight into the caller's memory, checksummed while it is in the cache.
    pub(crate) fn receive(&mut self, stream: &Stream) -> Result<Step, LaneFailure> {
        let mut vectors = Vec::with_capacity(16);
        let places = self.blocks[self.at..].iter().map(|block| block.at);
        let offered = line_up(
            &self.segments,
            &self.request,
            places,
            self.cursor,
            &mut vectors,
        );
        // SAFETY: the operation holds these regions until it ends, and it ends only after this
        // payload was diverted or its lane dropped; both need the lock that is held here.
        let bytes = received(unsafe { stream.read_into(&vectors) })?;
        self.advance(bytes);
        Ok(Step::Moved(bytes, bytes == offered))
    }

    /// Counts bytes that already lie in the caller's memory.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let block = self.block(self.at);
            if let Some((address, run)) = self.segments.next(block, &mut self.cursor, bytes) {
                // SAFETY: just received into memory that the operation holds.
                self.digest
                    .update(unsafe { std::slice::from_raw_parts(address, run) });
                self.remaining -= run as u64;
                bytes -= run;
            }
            self.end_block_if_whole();
        }
    }

    /// Copies payload that came in together with a frame; returns how much of it was this
    /// request's.
    pub(crate) fn copy_from(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && self.at < self.blocks.len() {
            let rest = &bytes[taken..];
            let block = self.block(self.at);
            if let Some((address, run)) = self.segments.next(block, &mut self.cursor, rest.len()) {
                // SAFETY: the run lies in memory that the operation holds; the buffer is ours.
                unsafe { std::ptr::copy_nonoverlapping(rest.as_ptr(), address, run) };
                self.digest.update(&rest[..run]);
                self.remaining -= run as u64;
                taken += run;
            }
            self.end_block_if_whole();
        }
        taken
    }

    fn end_block_if_whole(&mut self) {
        let mut ahead = self.cursor;
        if self
            .segments
            .next(self.block(self.at), &mut ahead, 1)
            .is_some()
        {
            return;
        }
        let Expected { at, answer } = self.blocks[self.at];
        let matches = self.digest.value() == answer.crc;
        self.request.results[at] = Some(if matches {
            KeyStatus::Hit
        } else {
            self.request
                .corrupt
                .push((self.request.ids[at], answer.write_id));
            KeyStatus::Corrupt
        });
        self.digest.reset();
        self.cursor = BlockCursor::default();
        self.at += 1;
    }

    /// Place in the segments of the block that arrives as number `at`.
    fn block(&self, at: usize) -> usize {
        self.request.keys[self.blocks[at].at] as usize
    }
}
