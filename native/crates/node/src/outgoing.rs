use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::vec::IntoIter;

use holdfast_engine::PinnedBlock;
use holdfast_transport::{IO_VECTORS_MAX, IoVector, Stream};
use holdfast_wire::{AnswerStatus, Header, Kind, Refusal};

use crate::budget::Charge;

/// Buffers kept for the next answers.
const SPARE_BUFFERS: usize = 8;
/// Largest buffer that is kept, bytes.
const SPARE_BYTES_MAX: usize = 64 << 10;
/// Frames waiting to be written, beyond which a connection reads no more requests, bytes.
const BACKLOG_BYTES_MAX: usize = 8 << 20;

/// The request that an answer ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) kind: Kind,
    pub(crate) request: u32,
    pub(crate) started_us: u64,
    /// When its time is over, monotonic milliseconds.
    pub(crate) expires_ms: u64,
}

/// One frame to be written, and the blocks that follow it.
pub(crate) struct Answer {
    frame: Vec<u8>,
    /// Held in place until the kernel has taken their bytes.
    blocks: IntoIter<PinnedBlock>,
    charge: Option<Charge>,
    descriptor: Option<Arc<OwnedFd>>,
    ends: Option<Ends>,
}

/// What a call of [`Outgoing::write`] did.
#[derive(Default)]
pub(crate) struct Written {
    /// Bytes that the kernel took.
    pub(crate) bytes: usize,
    /// Whether it takes no more now.
    pub(crate) full: bool,
}

/// Answers on their way out, in order.
#[derive(Default)]
pub(crate) struct Outgoing {
    queue: VecDeque<Answer>,
    /// Of the first answer's frame.
    frame_sent: usize,
    /// Of the first answer's first remaining block.
    block_sent: usize,
    /// Whether any byte of the first answer is out.
    begun: bool,
    backlog_bytes: usize,
    spare: Vec<Vec<u8>>,
}

impl Outgoing {
    /// An empty buffer for an answer's frame.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back a buffer that was not used for an answer.
    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS && buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Queues a frame.
    pub(crate) fn push(&mut self, header: &Header, body: &[u8], ends: Option<Ends>) {
        let mut frame = self.buffer();
        header.encode(body, &mut frame);
        self.enqueue(Answer {
            frame,
            blocks: Vec::new().into_iter(),
            charge: None,
            descriptor: None,
            ends,
        });
    }

    /// Queues a frame and the blocks that are its payload.
    pub(crate) fn push_blocks(
        &mut self,
        header: &Header,
        body: &[u8],
        blocks: Vec<PinnedBlock>,
        charge: Charge,
        ends: Ends,
    ) {
        let mut frame = self.buffer();
        header.encode(body, &mut frame);
        self.enqueue(Answer {
            frame,
            blocks: blocks.into_iter(),
            charge: Some(charge),
            descriptor: None,
            ends: Some(ends),
        });
    }

    /// Queues a frame with which a descriptor travels.
    pub(crate) fn push_descriptor(
        &mut self,
        header: &Header,
        body: &[u8],
        descriptor: Arc<OwnedFd>,
    ) {
        let mut frame = self.buffer();
        header.encode(body, &mut frame);
        self.enqueue(Answer {
            frame,
            blocks: Vec::new().into_iter(),
            charge: None,
            descriptor: Some(descriptor),
            ends: None,
        });
    }

    fn enqueue(&mut self, answer: Answer) {
        self.backlog_bytes += answer.frame.len();
        self.queue.push_back(answer);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether so much waits that no further request should be read.
    pub(crate) fn is_backlogged(&self) -> bool {
        self.backlog_bytes > BACKLOG_BYTES_MAX
    }

    /// Drops every answer that is not begun.
    pub(crate) fn drop_unbegun(&mut self) {
        self.queue.truncate(usize::from(self.begun));
        self.backlog_bytes = self.queue.iter().map(|answer| answer.frame.len()).sum();
    }

    /// When the time of the first answer that ends a request is over, monotonic milliseconds.
    pub(crate) fn first_expires_ms(&self) -> Option<u64> {
        let ends = self.queue.iter().find_map(|answer| answer.ends)?;
        Some(ends.expires_ms)
    }

    /// Replaces answers whose time is over, and of which nothing is out, by a word that says so.
    /// Their blocks are let go. Returns how many.
    pub(crate) fn expire(&mut self, now_ms: u64, epoch: u64) -> usize {
        let mut expired = 0;
        for answer in self.queue.iter_mut().skip(usize::from(self.begun)) {
            let Some(ends) = answer.ends.filter(|ends| now_ms >= ends.expires_ms) else {
                continue;
            };
            if answer.charge.is_none() {
                continue; // Small already; the caller decides what it is worth.
            }
            answer.blocks = Vec::new().into_iter();
            answer.charge = None;
            let mut header = Header::new(answer_kind(ends.kind), ends.request);
            header.status = AnswerStatus::DeadlineExceeded;
            header.epoch = epoch;
            let mut body = Vec::new();
            Refusal::encode(
                "the time of this get was over before its answer began",
                &mut body,
            );
            self.backlog_bytes -= answer.frame.len();
            answer.frame.clear();
            header.encode(&body, &mut answer.frame);
            self.backlog_bytes += answer.frame.len();
            expired += 1;
        }
        expired
    }

    /// Writes once, at most about `bytes_max` bytes. Blocks that are out are appended to
    /// `released`, requests that are answered to `ended`.
    pub(crate) fn write(
        &mut self,
        stream: &Stream,
        bytes_max: usize,
        pieces: &mut Vec<IoVector>,
        released: &mut Vec<PinnedBlock>,
        ended: &mut Vec<Ends>,
    ) -> io::Result<Written> {
        let Some(first) = self.queue.front() else {
            return Ok(Written::default());
        };
        let (offered, result) = match &first.descriptor {
            Some(descriptor) if self.frame_sent == 0 => (
                first.frame.len(),
                stream.write_with_descriptor(&first.frame, descriptor.as_fd()),
            ),
            _ => {
                let offered = self.gather(bytes_max, pieces);
                // SAFETY: the pieces point into frames of this queue and into blocks pinned by
                // it, none of which is touched until `advance`.
                (offered, unsafe { stream.write_from(pieces) })
            }
        };
        match result {
            Ok(bytes) => {
                self.advance(bytes, released, ended);
                Ok(Written {
                    bytes,
                    full: bytes < offered,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Written {
                bytes: 0,
                full: true,
            }),
            Err(error) => Err(error),
        }
    }

    /// Lists what comes next, up to the next answer with a descriptor; returns its bytes.
    fn gather(&self, bytes_max: usize, pieces: &mut Vec<IoVector>) -> usize {
        pieces.clear();
        let mut bytes = 0;
        let (mut frame_from, mut block_from) = (self.frame_sent, self.block_sent);
        for (index, answer) in self.queue.iter().enumerate() {
            if index > 0 && answer.descriptor.is_some() {
                break;
            }
            if frame_from < answer.frame.len() {
                let piece = IoVector::of(&answer.frame[frame_from..]);
                bytes += piece.bytes();
                pieces.push(piece);
            }
            for block in answer.blocks.as_slice() {
                if bytes >= bytes_max || pieces.len() >= IO_VECTORS_MAX {
                    return bytes;
                }
                let rest = &block.as_slice()[block_from..];
                let piece = IoVector::of(&rest[..rest.len().min(bytes_max - bytes)]);
                bytes += piece.bytes();
                pieces.push(piece);
                block_from = 0;
            }
            if bytes >= bytes_max || pieces.len() >= IO_VECTORS_MAX {
                return bytes;
            }
            (frame_from, block_from) = (0, 0);
        }
        bytes
    }

    /// Notes that the kernel took `bytes` bytes of what comes next.
    fn advance(
        &mut self,
        mut bytes: usize,
        released: &mut Vec<PinnedBlock>,
        ended: &mut Vec<Ends>,
    ) {
        self.begun |= bytes > 0;
        while let Some(answer) = self.queue.front_mut() {
            let taken = bytes.min(answer.frame.len() - self.frame_sent);
            self.frame_sent += taken;
            bytes -= taken;
            if self.frame_sent < answer.frame.len() {
                return;
            }
            while let Some(block) = answer.blocks.as_slice().first() {
                let rest = block.as_slice().len() - self.block_sent;
                if bytes < rest {
                    self.block_sent += bytes;
                    return;
                }
                bytes -= rest;
                self.block_sent = 0;
                released.extend(answer.blocks.next());
            }
            let Some(done) = self.queue.pop_front() else {
                return;
            };
            (self.frame_sent, self.block_sent) = (0, 0);
            self.begun = bytes > 0;
            self.backlog_bytes -= done.frame.len();
            ended.extend(done.ends);
            self.recycle(done.frame);
        }
    }
}

/// The kind of the (last) answer to a request.
pub(crate) fn answer_kind(request: Kind) -> Kind {
    match request {
        Kind::Hello => Kind::HelloAnswer,
        Kind::Bind => Kind::BindAnswer,
        Kind::Exists => Kind::ExistsAnswer,
        Kind::Get => Kind::GetAnswer,
        Kind::Put => Kind::PutGrant,
        Kind::PutData | Kind::PutOffered => Kind::PutDone,
        Kind::Delete => Kind::DeleteAnswer,
        Kind::Pin => Kind::PinAnswer,
        Kind::Stat => Kind::StatAnswer,
        Kind::Report => Kind::ReportAnswer,
        Kind::List => Kind::ListAnswer,
        Kind::Offer => Kind::OfferAnswer,
        Kind::Withdraw => Kind::WithdrawAnswer,
        Kind::Ping => Kind::PingAnswer,
        _ => Kind::Goodbye,
    }
}
