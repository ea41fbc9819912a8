use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use holdfast_transport::{Family, Stream};
use holdfast_wire::limits::REGIONS_PER_CONNECTION_MAX;
use holdfast_wire::{HEADER_BYTES, Header, WireError};

/// Bytes read ahead at most, unless one frame is larger.
const BUFFER_BYTES: usize = 64 << 10;
/// Largest body before the hello is accepted, bytes.
const HELLO_BODY_BYTES_MAX: u32 = 1024;

/// One whole frame in the buffer.
pub(crate) struct Frame {
    pub(crate) header: Header,
    /// Where its body lies in the buffer that [`Incoming::take_buffer`] hands out.
    pub(crate) body: Range<usize>,
}

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadResult {
    /// So many bytes; more may be there.
    Bytes(usize),
    /// So many bytes, and the socket is empty.
    Drained(usize),
    /// The peer ended its side.
    End,
}

/// Bytes received and not yet understood.
#[derive(Default)]
pub(crate) struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    descriptors: VecDeque<OwnedFd>,
    arrived: Vec<OwnedFd>,
}

impl Incoming {
    /// The next frame, if it is here whole.
    pub(crate) fn next_frame(&mut self, greeted: bool) -> Result<Option<Frame>, WireError> {
        let Some(head) = self.buffer[self.start..self.end].first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let (header, check) = Header::decode(head)?;
        if !greeted && header.body_bytes > HELLO_BODY_BYTES_MAX {
            return Err(WireError::OverLimit {
                what: "body of a hello",
                value: u64::from(header.body_bytes),
                limit: u64::from(HELLO_BODY_BYTES_MAX),
            });
        }
        let body_start = self.start + HEADER_BYTES;
        let body = body_start..body_start + header.body_bytes as usize;
        if body.end > self.end {
            return Ok(None);
        }
        Header::verify(head, check, &self.buffer[body.clone()])?;
        self.start = body.end;
        Ok(Some(Frame { header, body }))
    }

    /// Whether bytes lie here that belong to no frame handed out so far.
    pub(crate) fn has_rest(&self) -> bool {
        self.start != self.end
    }

    /// Lends the buffer, so that a frame can be handled in place; see [`Incoming::put_back`].
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Takes the lent buffer back.
    pub(crate) fn put_back(&mut self, buffer: Vec<u8>) {
        self.buffer = buffer;
    }

    /// The descriptor that came with an offer, in the order of arrival.
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    /// Reads more. With `exact` not a byte beyond the frame that is begun, because payload
    /// follows that belongs elsewhere.
    pub(crate) fn read(&mut self, stream: &Stream, exact: bool) -> io::Result<ReadResult> {
        let frame_bytes = self.frame_bytes();
        self.make_room(frame_bytes);
        let limit = if exact {
            self.start + frame_bytes
        } else {
            self.buffer.len()
        };
        let room = &mut self.buffer[self.end..limit];
        let wanted = room.len();
        let read = match stream.family() {
            Family::Tcp => stream.read(room)?,
            Family::Unix => stream.read_with_descriptors(room, &mut self.arrived)?,
        };
        self.descriptors.extend(self.arrived.drain(..));
        if self.descriptors.len() > REGIONS_PER_CONNECTION_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "more descriptors than offers",
            ));
        }
        self.end += read;
        Ok(match read {
            0 => ReadResult::End,
            // Descriptors end a read early, so only TCP tells by a short read that it is empty.
            _ if read < wanted && stream.family() == Family::Tcp => ReadResult::Drained(read),
            _ => ReadResult::Bytes(read),
        })
    }

    /// Drops what was received.
    pub(crate) fn discard(&mut self) {
        (self.start, self.end) = (0, 0);
        self.descriptors.clear();
    }

    /// Bytes of the frame that is begun, as far as is known. The header was checked when
    /// [`Incoming::next_frame`] looked at it.
    fn frame_bytes(&self) -> usize {
        match self.buffer[self.start..self.end].first_chunk::<4>() {
            Some(length) if self.end - self.start >= HEADER_BYTES => {
                HEADER_BYTES + u32::from_le_bytes(*length) as usize
            }
            _ => HEADER_BYTES,
        }
    }

    fn make_room(&mut self, frame_bytes: usize) {
        if self.start > 0
            && (self.start == self.end || self.start + frame_bytes > self.buffer.len())
        {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let needed = frame_bytes.max(BUFFER_BYTES);
        if self.end == 0 && self.buffer.len() > BUFFER_BYTES && needed == BUFFER_BYTES {
            // A large body is rare; its room is not kept.
            self.buffer.truncate(BUFFER_BYTES);
            self.buffer.shrink_to_fit();
        }
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}
