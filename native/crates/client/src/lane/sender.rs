use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use holdfast_transport::{IoVector, Stream};
use holdfast_wire::checksum::Crc32c;

use crate::segments::BlockCursor;
use crate::{Region, Segments};

/// Most pieces of memory in one call to the kernel.
const PIECES_MAX: usize = 512;
/// Most bytes that are checksummed at a time, and then handed to the kernel while they lie in the
/// second-level cache. Meanwhile the receiver takes in by itself what it was sent; with smaller
/// steps the sender's core does it on the receiver's behalf.
const PIECE_BYTES: usize = 1 << 20;
/// Frames are gathered into one buffer up to this size, bytes.
const GATHER_BYTES: usize = 64 << 10;

/// What a flush has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing to send.
    Idle,
    /// The kernel takes nothing now.
    Blocked,
    /// The budget is spent; there is more.
    More,
}

/// What goes out on a lane, in order.
#[derive(Default)]
pub(crate) struct Sender {
    queue: VecDeque<Outbound>,
    sent: Vec<u32>,
}

enum Outbound {
    Frames {
        bytes: Vec<u8>,
        at: usize,
        region: Option<Arc<Region>>,
    },
    Payload(Box<PayloadSend>),
}

/// The payload of one put on its way: blocks out of the caller's memory, then their checksums.
struct PayloadSend {
    request: u32,
    segments: Arc<Segments>,
    blocks: Vec<u32>,
    /// The blocks' checksums where they are known already.
    sums: Vec<u32>,
    at: usize,
    cursor: BlockCursor,
    digest: Crc32c,
    /// The frame's head; only its memory is used, by the first of `pieces`.
    _head: Vec<u8>,
    checksums: Vec<u8>,
    /// Address and bytes of what is checksummed and not yet in the kernel's hands.
    pieces: VecDeque<(usize, usize)>,
    begun: bool,
    remaining: u64,
}

/// What became of a payload that must stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It was not queued here.
    Unknown,
    /// Not begun: the caller may queue something else in its place.
    NotBegun,
    /// The rest was copied and goes out without touching the caller's memory.
    Copied,
    /// Too much is left: the lane cannot be used any more.
    MidPayload,
}

impl Sender {
    /// The buffer that further frames are appended to.
    pub(crate) fn frames(&mut self) -> &mut Vec<u8> {
        let fits = matches!(
            self.queue.back(),
            Some(Outbound::Frames { bytes, region: None, .. }) if bytes.len() < GATHER_BYTES
        );
        if !fits {
            self.queue.push_back(Outbound::Frames {
                bytes: Vec::new(),
                at: 0,
                region: None,
            });
        }
        match self.queue.back_mut() {
            Some(Outbound::Frames { bytes, .. }) => bytes,
            _ => unreachable!("the last entry was just made to be frames"),
        }
    }

    /// A frame whose region's descriptor travels with it.
    pub(crate) fn offer(&mut self, bytes: Vec<u8>, region: Arc<Region>) {
        self.queue.push_back(Outbound::Frames {
            bytes,
            at: 0,
            region: Some(region),
        });
    }

    /// A payload of `blocks` (places in `segments`) behind the frame `head`. `sums`: the blocks'
    /// checksums, or none; then they are made on the way.
    pub(crate) fn payload(
        &mut self,
        request: u32,
        head: Vec<u8>,
        segments: Arc<Segments>,
        blocks: Vec<u32>,
        sums: Vec<u32>,
    ) {
        let count = blocks.len() as u64;
        let remaining = head.len() as u64 + count * (segments.block_bytes() as u64 + 4);
        let pieces = VecDeque::from([(head.as_ptr() as usize, head.len())]);
        self.queue
            .push_back(Outbound::Payload(Box::new(PayloadSend {
                request,
                checksums: Vec::with_capacity(blocks.len() * 4),
                segments,
                blocks,
                sums,
                at: 0,
                cursor: BlockCursor::default(),
                digest: Crc32c::new(),
                _head: head,
                pieces,
                begun: false,
                remaining,
            })));
    }

    /// Numbers of the puts whose payload has been sent since the last call.
    pub(crate) fn take_sent(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.sent)
    }

    /// Writes what the kernel takes, at most about `budget` bytes.
    pub(crate) fn flush(&mut self, stream: &Stream, budget: usize) -> io::Result<Flushed> {
        let mut left = budget;
        while let Some(front) = self.queue.front_mut() {
            if left == 0 {
                return Ok(Flushed::More);
            }
            let written = match front {
                Outbound::Frames { bytes, at, region } => write_frames(stream, bytes, at, region),
                Outbound::Payload(payload) => payload.write(stream),
            };
            let (written, whole) = match written {
                Ok(result) => result,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Flushed::Blocked);
                }
                Err(error) => return Err(error),
            };
            left = left.saturating_sub(written);
            if front.finished() {
                if let Some(Outbound::Payload(payload)) = self.queue.pop_front() {
                    self.sent.push(payload.request);
                }
            } else if !whole {
                return Ok(Flushed::Blocked);
            }
        }
        Ok(Flushed::Idle)
    }

    /// Makes the payload of a put independent of the caller's memory, copying at most
    /// `copy_bytes_max`.
    pub(crate) fn stop(&mut self, request: u32, copy_bytes_max: u64) -> Stopped {
        let found = self.queue.iter().position(
            |outbound| matches!(outbound, Outbound::Payload(payload) if payload.request == request),
        );
        let Some(position) = found else {
            return Stopped::Unknown;
        };
        let Outbound::Payload(payload) = &mut self.queue[position] else {
            return Stopped::Unknown;
        };
        if !payload.begun {
            self.queue.remove(position);
            return Stopped::NotBegun;
        }
        if payload.remaining > copy_bytes_max {
            return Stopped::MidPayload;
        }
        let bytes = payload.copy_rest();
        self.queue[position] = Outbound::Frames {
            bytes,
            at: 0,
            region: None,
        };
        Stopped::Copied
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Outbound {
    fn finished(&self) -> bool {
        match self {
            Self::Frames { bytes, at, .. } => *at == bytes.len(),
            Self::Payload(payload) => payload.remaining == 0,
        }
    }
}

/// Bytes written, and whether the kernel took all that was offered.
type Written = (usize, bool);

fn write_frames(
    stream: &Stream,
    bytes: &[u8],
    at: &mut usize,
    region: &mut Option<Arc<Region>>,
) -> io::Result<Written> {
    let rest = &bytes[*at..];
    let written = match region.as_ref().and_then(|region| region.file()) {
        Some((descriptor, _)) => stream.write_with_descriptor(rest, descriptor)?,
        None => stream.write(rest)?,
    };
    if written > 0 {
        *region = None;
    }
    *at += written;
    Ok((written, written == rest.len()))
}

impl PayloadSend {
    fn write(&mut self, stream: &Stream) -> io::Result<Written> {
        let lined_up: usize = self.pieces.iter().map(|(_, bytes)| bytes).sum();
        if lined_up < GATHER_BYTES {
            self.gather();
        }
        let vectors: Vec<IoVector> = self
            .pieces
            .iter()
            .map(|(address, bytes)| IoVector::new(*address as *const u8, *bytes))
            .collect();
        let offered: usize = vectors.iter().map(IoVector::bytes).sum();
        // SAFETY: pieces point into the head and the checksums, which this value owns and does
        // not change any more, or into regions that the operation holds until it ends; it ends
        // only after `Sender::stop` or with the lane gone.
        let written = unsafe { stream.write_from(&vectors)? };
        self.begun = true;
        self.consume(written);
        Ok((written, written == offered))
    }

    /// Lines the next stretch of the caller's memory up, checksummed if need be.
    fn gather(&mut self) {
        let mut room = PIECE_BYTES;
        while room > 0 && self.pieces.len() < PIECES_MAX && self.at < self.blocks.len() {
            let block = self.blocks[self.at] as usize;
            match self.segments.next(block, &mut self.cursor, room) {
                Some((address, bytes)) => {
                    if self.sums.is_empty() {
                        // SAFETY: the region holds this memory while the operation lasts.
                        self.digest
                            .update(unsafe { std::slice::from_raw_parts(address, bytes) });
                    }
                    self.pieces.push_back((address as usize, bytes));
                    room -= bytes;
                }
                None => self.end_block(),
            }
        }
        // A block whose last byte was just lined up has its checksum now.
        if self.at + 1 == self.blocks.len() && self.at_block_end() {
            self.end_block();
        }
    }

    fn at_block_end(&self) -> bool {
        let mut ahead = self.cursor;
        let block = self.blocks[self.at] as usize;
        self.segments.next(block, &mut ahead, 1).is_none()
    }

    fn end_block(&mut self) {
        let sum = match self.sums.get(self.at) {
            Some(sum) => *sum,
            None => self.digest.value(),
        };
        self.checksums.extend_from_slice(&sum.to_le_bytes());
        self.digest.reset();
        self.cursor = BlockCursor::default();
        self.at += 1;
        if self.at == self.blocks.len() {
            // Complete now, so its address stays.
            self.pieces
                .push_back((self.checksums.as_ptr() as usize, self.checksums.len()));
        }
    }

    fn consume(&mut self, mut written: usize) {
        self.remaining -= written as u64;
        while written > 0 {
            let Some((address, bytes)) = self.pieces.front_mut() else {
                return;
            };
            let taken = written.min(*bytes);
            *address += taken;
            *bytes -= taken;
            written -= taken;
            if *bytes == 0 {
                self.pieces.pop_front();
            }
        }
    }

    /// Everything not yet sent, in memory of its own.
    fn copy_rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::with_capacity(self.remaining as usize);
        while self.remaining > 0 {
            if self.pieces.is_empty() {
                self.gather();
            }
            let Some((address, bytes)) = self.pieces.front().copied() else {
                break;
            };
            // SAFETY: as in `write`: owned by this value or held by the operation.
            rest.extend_from_slice(unsafe {
                std::slice::from_raw_parts(address as *const u8, bytes)
            });
            self.consume(bytes);
        }
        rest
    }
}
