use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use holdfast_transport::{Family, IoVector, Stream};
use holdfast_wire::{AnswerStatus, GetAnswer, HEADER_BYTES, Header, Kind};

use super::LaneFailure;
use super::payload::{PayloadReceive, line_up};
use crate::Segments;
use crate::request::{Expected, Request};
use crate::segments::BlockCursor;

/// What is read at once while no payload is expected, bytes. Payload that comes along is copied
/// out of this buffer, the rest lands in the caller's memory directly.
const BUFFER_BYTES: usize = 16 << 10;
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
    /// Bytes of the payload behind the frame in the buffer that lie in the caller's memory.
    landed: usize,
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
    Finished(Box<Request>),
    /// So many bytes were taken; `false`: the kernel has no more now.
    Moved(usize, bool),
    /// Nothing can be done without reading.
    Idle,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES],
            start: 0,
            end: 0,
            stage: Stage::Frames,
            descriptors: Vec::new(),
            landed: 0,
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
        let mut payload = PayloadReceive::new(request, segments, blocks);
        // What an eager read has brought lies where it belongs already.
        payload.advance(std::mem::take(&mut self.landed));
        self.stage = Stage::Payload(Box::new(payload));
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

    /// Whether a frame or its payload has arrived in part.
    pub(crate) fn in_the_middle(&self) -> bool {
        self.start < self.end || !matches!(self.stage, Stage::Frames)
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
    /// `next` is the get whose answer can only be what comes next, if there is one.
    pub(crate) fn step(
        &mut self,
        stream: &Stream,
        may_read: bool,
        next: Option<&Request>,
    ) -> Result<Step, LaneFailure> {
        match &mut self.stage {
            Stage::Frames => {
                if let Some(frame) = self.parse()? {
                    return Ok(Step::Frame(frame));
                }
                match next {
                    _ if !may_read => Ok(Step::Idle),
                    // Not where descriptors may come along: they would be lost.
                    Some(get) if self.end == 0 && stream.family() == Family::Tcp => {
                        self.fill_eagerly(stream, get)
                    }
                    _ => self.fill(stream),
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
            Stage::Payload(payload) => Step::Finished(Box::new(payload.request)),
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

    /// Reads the answer to the only request on the lane together with its payload, on the guess
    /// that every block is a hit: then the payload lands where it belongs at once. What came
    /// otherwise is moved to the buffer; until its operation ends the memory may hold anything.
    fn fill_eagerly(&mut self, stream: &Stream, get: &Request) -> Result<Step, LaneFailure> {
        let keys = get.ids.len();
        let frame_bytes = HEADER_BYTES + keys * GetAnswer::ENTRY_BYTES;
        let Some(segments) = get
            .segments
            .as_ref()
            .filter(|_| frame_bytes <= BUFFER_BYTES)
        else {
            return self.fill(stream);
        };
        let mut vectors = vec![IoVector::of_mut(&mut self.buffer[..frame_bytes])];
        let cursor = BlockCursor::default();
        let offered = frame_bytes + line_up(segments, get, 0..keys, cursor, &mut vectors);
        // SAFETY: the buffer is this value's own; the operation holds the regions until it ends,
        // which needs the lock that is held here.
        let bytes = received(unsafe { stream.read_into(&vectors) })?;
        self.end = bytes.min(frame_bytes);
        let landed = bytes - self.end;
        if landed > 0 && self.guessed_right(get, frame_bytes)? {
            self.landed = landed;
        } else if landed > 0 {
            self.take_back(&vectors[1..], landed);
        }
        Ok(Step::Moved(bytes, bytes == offered))
    }

    /// Whether the buffer holds the answer to `get` and all its blocks are hits.
    fn guessed_right(&self, get: &Request, frame_bytes: usize) -> Result<bool, LaneFailure> {
        let Some(head) = self.buffer.first_chunk::<HEADER_BYTES>() else {
            return Ok(false);
        };
        let (header, _) = Header::decode(head)?;
        Ok(header.kind == Kind::GetAnswer
            && header.status == AnswerStatus::Ok
            && header.request == get.number
            && HEADER_BYTES + header.body_bytes as usize == frame_bytes
            && header.payload_bytes == get.payload_bytes())
    }

    /// Moves bytes that an eager read has put elsewhere behind those in the buffer.
    fn take_back(&mut self, vectors: &[IoVector], mut bytes: usize) {
        let room = (self.end + bytes).max(self.buffer.len());
        self.buffer.resize(room, 0);
        for vector in vectors {
            let taken = bytes.min(vector.bytes());
            let room = &mut self.buffer[self.end..self.end + taken];
            // SAFETY: just received there, into memory that the operation holds.
            unsafe { std::ptr::copy_nonoverlapping(vector.address(), room.as_mut_ptr(), taken) };
            self.end += taken;
            bytes -= taken;
        }
    }
}

/// What a read means: the end of the stream is a failure here, nothing to read is no bytes.
pub(crate) fn received(result: io::Result<usize>) -> Result<usize, LaneFailure> {
    match result {
        Ok(0) => Err(LaneFailure::Closed),
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(LaneFailure::Io(error)),
    }
}
