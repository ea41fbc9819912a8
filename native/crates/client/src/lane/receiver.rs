use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use holdfast_transport::{Family, IoVector, Stream};
use holdfast_wire::checksum::Crc32c;
use holdfast_wire::{HEADER_BYTES, Header, KeyStatus};

use super::{LaneFailure, PIECE_BYTES};
use crate::Segments;
use crate::request::{Expected, Request};
use crate::segments::BlockCursor;

/// What is read at once while no payload is expected, bytes. Payload that comes along is copied
/// out of this buffer, the rest lands in the caller's memory directly.
const BUFFER_BYTES: usize = 16 << 10;
/// Most pieces of memory in one call to the kernel.
const PIECES_MAX: usize = 512;
/// Descriptors that may wait for their frames.
const DESCRIPTORS_MAX: usize = 64;

/// One whole frame in the buffer.
pub(crate) struct Frame {
    pub header: Header,
    /// Where its body lies in the buffer.
    body: (usize, usize),
}

/// Bytes that arrive on a lane.
pub(crate) struct Receiver {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    stage: Stage,
    descriptors: Vec<OwnedFd>,
}

enum Stage {
    Frames,
    Payload(Box<PayloadReceive>),
    Drain(u64),
}

/// What one step of receiving has done.
pub(crate) enum Step {
    /// A whole frame is there.
    Frame(Frame),
    /// The payload of this request has arrived.
    Finished(Request),
    /// So many bytes were taken; `false`: the kernel has no more now.
    Moved(usize, bool),
    /// Nothing can be done without reading.
    Idle,
}

/// Blocks on their way into the caller's memory.
struct PayloadReceive {
    request: Request,
    segments: Arc<Segments>,
    blocks: Vec<Expected>,
    at: usize,
    cursor: BlockCursor,
    digest: Crc32c,
    remaining: u64,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            stage: Stage::Frames,
            descriptors: Vec::new(),
        }
    }

    /// The body of a frame that [`Receiver::step`] has just returned.
    pub(crate) fn body(&self, frame: &Frame) -> &[u8] {
        &self.buffer[frame.body.0..frame.body.1]
    }

    /// The oldest descriptor that came along and was not taken yet.
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        (!self.descriptors.is_empty()).then(|| self.descriptors.remove(0))
    }

    /// From here on `blocks` of `request` arrive, one behind the other.
    pub(crate) fn expect(
        &mut self,
        request: Request,
        segments: Arc<Segments>,
        blocks: Vec<Expected>,
    ) {
        let remaining = blocks.len() as u64 * segments.block_bytes() as u64;
        self.stage = Stage::Payload(Box::new(PayloadReceive {
            request,
            segments,
            blocks,
            at: 0,
            cursor: BlockCursor::default(),
            digest: Crc32c::new(),
            remaining,
        }));
    }

    /// From here on `bytes` of payload arrive that nobody wants.
    pub(crate) fn drain(&mut self, bytes: u64) {
        self.stage = if bytes == 0 {
            Stage::Frames
        } else {
            Stage::Drain(bytes)
        };
    }

    /// The request whose payload is arriving.
    pub(crate) fn arriving(&self) -> Option<&Request> {
        match &self.stage {
            Stage::Payload(payload) => Some(&payload.request),
            _ => None,
        }
    }

    /// Payload bytes that must arrive before the next frame.
    pub(crate) fn payload_remaining(&self) -> u64 {
        match &self.stage {
            Stage::Payload(payload) => payload.remaining,
            Stage::Drain(bytes) => *bytes,
            Stage::Frames => 0,
        }
    }

    /// Takes the arriving request out; its payload goes on to nowhere.
    pub(crate) fn divert(&mut self) -> Option<Request> {
        match std::mem::replace(&mut self.stage, Stage::Frames) {
            Stage::Payload(payload) => {
                self.drain(payload.remaining);
                Some(payload.request)
            }
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// Does the next thing, with one call to the kernel at most, and none unless `may_read`.
    pub(crate) fn step(&mut self, stream: &Stream, may_read: bool) -> Result<Step, LaneFailure> {
        match &mut self.stage {
            Stage::Frames => {
                if let Some(frame) = self.parse()? {
                    return Ok(Step::Frame(frame));
                }
                if may_read {
                    self.fill(stream)
                } else {
                    Ok(Step::Idle)
                }
            }
            Stage::Payload(payload) => {
                if payload.remaining == 0 {
                    return Ok(self.finished());
                }
                if self.start < self.end {
                    let taken = payload.copy_from(&self.buffer[self.start..self.end]);
                    self.start += taken;
                    return Ok(Step::Moved(taken, true));
                }
                if may_read {
                    payload.receive(stream)
                } else {
                    Ok(Step::Idle)
                }
            }
            Stage::Drain(_) => self.drain_step(stream, may_read),
        }
    }

    fn finished(&mut self) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Frames) {
            Stage::Payload(payload) => Step::Finished(payload.request),
            _ => Step::Idle,
        }
    }

    fn drain_step(&mut self, stream: &Stream, may_read: bool) -> Result<Step, LaneFailure> {
        let Stage::Drain(left) = &mut self.stage else {
            return Ok(Step::Idle);
        };
        let mut step = Step::Moved(0, true);
        if self.start == self.end {
            if !may_read {
                return Ok(Step::Idle);
            }
            self.start = 0;
            let room = usize::try_from(*left)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            self.end = received(stream.read(&mut self.buffer[..room]))?;
            step = Step::Moved(self.end, self.end == room);
        }
        let taken = ((self.end - self.start) as u64).min(*left);
        self.start += taken as usize;
        *left -= taken;
        if *left == 0 {
            self.stage = Stage::Frames;
        }
        Ok(step)
    }

    /// The next whole frame in the buffer. Makes room for one that does not fit.
    fn parse(&mut self) -> Result<Option<Frame>, LaneFailure> {
        let have = self.end - self.start;
        let Some(head) = self.buffer[self.start..self.end].first_chunk::<HEADER_BYTES>() else {
            self.make_room(HEADER_BYTES);
            return Ok(None);
        };
        let (header, check) = Header::decode(head)?;
        let frame_bytes = HEADER_BYTES + header.body_bytes as usize;
        if have < frame_bytes {
            self.make_room(frame_bytes);
            return Ok(None);
        }
        let body = (self.start + HEADER_BYTES, self.start + frame_bytes);
        Header::verify(head, check, &self.buffer[body.0..body.1])?;
        self.start += frame_bytes;
        Ok(Some(Frame { header, body }))
    }

    /// Moves what is there to the front; grows for one large frame, and shrinks after it.
    fn make_room(&mut self, frame_bytes: usize) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let wanted = frame_bytes.max(BUFFER_BYTES);
        if wanted > self.buffer.len() || (wanted < self.buffer.len() && self.end <= wanted) {
            self.buffer.resize(wanted, 0);
            self.buffer.shrink_to_fit();
        }
    }

    fn fill(&mut self, stream: &Stream) -> Result<Step, LaneFailure> {
        let room = &mut self.buffer[self.end..];
        let offered = room.len();
        let result = match stream.family() {
            Family::Tcp => stream.read(room),
            Family::Unix => stream.read_with_descriptors(room, &mut self.descriptors),
        };
        let bytes = received(result)?;
        if self.descriptors.len() > DESCRIPTORS_MAX {
            return Err(LaneFailure::Protocol(
                "more descriptors than frames for them",
            ));
        }
        self.end += bytes;
        // On a Unix socket a read also ends where descriptors begin, so there may be more.
        let whole = bytes == offered || stream.family() == Family::Unix;
        Ok(Step::Moved(bytes, whole && bytes > 0))
    }
}

/// What a read means: the end of the stream is a failure here, nothing to read is no bytes.
fn received(result: io::Result<usize>) -> Result<usize, LaneFailure> {
    match result {
        Ok(0) => Err(LaneFailure::Closed),
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(LaneFailure::Io(error)),
    }
}

impl PayloadReceive {
    /// One read, straight into the caller's memory, checksummed while it is in the cache.
    fn receive(&mut self, stream: &Stream) -> Result<Step, LaneFailure> {
        let mut vectors = Vec::with_capacity(16);
        let (mut at, mut cursor, mut room) = (self.at, self.cursor, PIECE_BYTES);
        while room > 0 && vectors.len() < PIECES_MAX && at < self.blocks.len() {
            match self.segments.next(self.block(at), &mut cursor, room) {
                Some((address, bytes)) => {
                    vectors.push(IoVector::new(address, bytes));
                    room -= bytes;
                }
                None => {
                    at += 1;
                    cursor = BlockCursor::default();
                }
            }
        }
        let offered = PIECE_BYTES - room;
        // SAFETY: the operation holds these regions until it ends, and it ends only after this
        // payload was diverted or its lane dropped; both need the lock that is held here.
        let bytes = received(unsafe { stream.read_into(&vectors) })?;
        self.advance(bytes);
        Ok(Step::Moved(bytes, bytes == offered))
    }

    /// Counts bytes that already lie in the caller's memory.
    fn advance(&mut self, mut bytes: usize) {
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
    fn copy_from(&mut self, bytes: &[u8]) -> usize {
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
