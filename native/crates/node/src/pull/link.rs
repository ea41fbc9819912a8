use std::io;
use std::net::ToSocketAddrs;
use std::os::fd::AsFd;
use std::time::Duration;

use holdfast_transport::{Interest, SocketOptions, Stream, wait};
use holdfast_wire::limits::{DEADLINE_MS_MAX, KEYS_PER_REQUEST_MAX};
use holdfast_wire::{
    AnswerStatus, BlockAnswer, BlockId, GetAnswer, HEADER_BYTES, Header, Hello, KeyStatus,
    KeysRequest, Kind, ListAnswer, ListRequest, Refusal, TransportKind, VERSION_MAX, VERSION_MIN,
    Welcome, WireError,
};

use super::PullRequest;
use crate::shared::Shared;

/// Payload read by one call, bytes; see `grant`.
const PIECE_BYTES: usize = 256 << 10;

/// Why a peer could not be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("the deadline is over")]
    Deadline,
    #[error("the address does not resolve")]
    Address,
    #[error("{0}")]
    Stream(#[from] io::Error),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("it refuses ({status:?}): {text}")]
    Refused { status: AnswerStatus, text: String },
    #[error("it answers {found:?} where {expected:?} is due")]
    Unexpected { found: Kind, expected: Kind },
    #[error("its payload has {found} bytes where {expected} are due")]
    Payload { found: u64, expected: u64 },
}

/// One connection to a peer, one request at a time, every wait bounded by one deadline.
pub(super) struct Link<'a> {
    stream: Stream,
    shared: &'a Shared,
    deadline_us: u64,
    next_request: u32,
}

impl<'a> Link<'a> {
    /// Connects and says hello with a node ticket.
    pub(super) fn open(
        shared: &'a Shared,
        request: &PullRequest,
        deadline_us: u64,
    ) -> Result<Self, LinkError> {
        let mut addresses = request
            .peer_address
            .to_socket_addrs()
            .map_err(|_| LinkError::Address)?;
        let address = addresses.next().ok_or(LinkError::Address)?;
        let stream = Stream::connect_tcp(address, &SocketOptions::default())?;
        let mut link = Self {
            stream,
            shared,
            deadline_us,
            next_request: 1,
        };
        link.wait(Interest::Writable)?;
        link.stream.connect_result()?;
        link.hello(request)?;
        Ok(link)
    }

    fn hello(&mut self, request: &PullRequest) -> Result<(), LinkError> {
        let identity = &self.shared.config.identity;
        let mut client = [0; 16];
        client[..8].copy_from_slice(&identity.node.to_le_bytes());
        client[8..].copy_from_slice(&identity.incarnation.to_le_bytes());
        let hello = Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            features: 0,
            cluster: identity.cluster,
            node: request.peer_node,
            client,
            transport: TransportKind::Tcp,
            ticket: request.ticket,
        };
        let mut body = Vec::new();
        hello.encode(&mut body);
        self.send(Kind::Hello, &body)?;
        let (header, body) = self.frame()?;
        if header.kind != Kind::HelloAnswer {
            return Err(refusal(&header, &body, Kind::HelloAnswer));
        }
        let welcome = Welcome::decode(&body)?;
        if header.status != AnswerStatus::Ok {
            return Err(LinkError::Refused {
                status: header.status,
                text: welcome.text,
            });
        }
        Ok(())
    }

    /// One page of the peer's blocks; `Busy` as long as the peer's map is older than this node's.
    pub(super) fn list(&mut self, request: &ListRequest) -> Result<ListAnswer, LinkError> {
        let mut body = Vec::new();
        request.encode(&mut body);
        self.send(Kind::List, &body)?;
        let (_, body) = self.answer(Kind::ListAnswer)?;
        Ok(ListAnswer::decode(&body)?)
    }

    /// Asks for blocks. The payload of the hits follows, in order.
    pub(super) fn get(
        &mut self,
        space: u32,
        ids: &[BlockId],
        block_bytes: u32,
    ) -> Result<Vec<BlockAnswer>, LinkError> {
        debug_assert!(
            ids.len() <= KEYS_PER_REQUEST_MAX as usize,
            "a page is smaller"
        );
        let request = KeysRequest {
            space,
            argument: 0,
            ids,
        };
        let mut body = Vec::new();
        request.encode(&mut body);
        self.send(Kind::Get, &body)?;
        let (header, body) = self.answer(Kind::GetAnswer)?;
        let answers = GetAnswer::decode(&body, ids.len())?;
        let hits = answers
            .iter()
            .filter(|answer| answer.status == KeyStatus::Hit);
        let expected = hits.count() as u64 * u64::from(block_bytes);
        if header.payload_bytes != expected {
            return Err(LinkError::Payload {
                found: header.payload_bytes,
                expected,
            });
        }
        Ok(answers)
    }

    /// Fills `target`, handing each piece to `arrived` while it is fresh.
    pub(super) fn read_payload(
        &mut self,
        target: &mut [u8],
        mut arrived: impl FnMut(&[u8]),
    ) -> Result<(), LinkError> {
        let mut done = 0;
        while done < target.len() {
            let end = target.len().min(done + PIECE_BYTES);
            let read = self.read(&mut target[done..end])?;
            arrived(&target[done..done + read]);
            done += read;
        }
        Ok(())
    }

    /// Lets some time pass before something is asked for again.
    pub(super) fn pause(&self, pause: Duration) -> Result<(), LinkError> {
        std::thread::sleep(pause.min(Duration::from_millis(self.left_ms()?)));
        Ok(())
    }

    fn left_ms(&self) -> Result<u64, LinkError> {
        let now_us = self.shared.clock.monotonic_us();
        match self.deadline_us.saturating_sub(now_us) / 1000 {
            0 => Err(LinkError::Deadline),
            left_ms => Ok(left_ms),
        }
    }

    fn wait(&self, interest: Interest) -> Result<(), LinkError> {
        loop {
            let left = Duration::from_millis(self.left_ms()?);
            match wait(self.stream.as_fd(), interest, left) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn send(&mut self, kind: Kind, body: &[u8]) -> Result<(), LinkError> {
        let mut header = Header::new(kind, self.next_request);
        self.next_request += 1;
        header.deadline_ms = self.left_ms()?.min(u64::from(DEADLINE_MS_MAX)) as u32;
        header.epoch = self.shared.route().epoch();
        let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
        header.encode(body, &mut frame);
        let mut sent = 0;
        while sent < frame.len() {
            match self.stream.write(&frame[sent..]) {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(Interest::Writable)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn answer(&mut self, expected: Kind) -> Result<(Header, Vec<u8>), LinkError> {
        let (header, body) = self.frame()?;
        if header.kind != expected || header.status != AnswerStatus::Ok {
            return Err(refusal(&header, &body, expected));
        }
        Ok((header, body))
    }

    fn frame(&mut self) -> Result<(Header, Vec<u8>), LinkError> {
        let mut head = [0; HEADER_BYTES];
        self.read_exact(&mut head)?;
        let (header, check) = Header::decode(&head)?;
        let mut body = vec![0; header.body_bytes as usize];
        self.read_exact(&mut body)?;
        Header::verify(&head, check, &body)?;
        Ok((header, body))
    }

    fn read_exact(&mut self, target: &mut [u8]) -> Result<(), LinkError> {
        let mut done = 0;
        while done < target.len() {
            done += self.read(&mut target[done..])?;
        }
        Ok(())
    }

    /// Reads some bytes, at least one.
    fn read(&mut self, target: &mut [u8]) -> Result<usize, LinkError> {
        loop {
            match self.stream.read(target) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(Interest::Readable)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn refusal(header: &Header, body: &[u8], expected: Kind) -> LinkError {
    if header.status == AnswerStatus::Ok {
        return LinkError::Unexpected {
            found: header.kind,
            expected,
        };
    }
    let text = Refusal::decode(body).map_or_else(|_| String::new(), |refusal| refusal.text);
    LinkError::Refused {
        status: header.status,
        text,
    }
}
