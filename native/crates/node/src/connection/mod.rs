use std::io;

use holdfast_engine::{BlockLocation, PinnedBlock, PutKey, Reservation};
use holdfast_transport::{IoVector, LowWater, Stream};
use holdfast_wire::limits::{DEADLINE_MS_MAX, HELLO_DEADLINE_MS, REQUESTS_IN_FLIGHT_MAX};
use holdfast_wire::{AnswerStatus, Header, KeyStatus, Kind, Refusal, WireError};

use crate::counters::Counters;
use crate::exchange::{Exchange, Failure, Request};
use crate::grant::GrantedPut;
use crate::incoming::{Incoming, ReadResult};
use crate::outgoing::Ends;
use crate::requests;
use crate::session::{Denied, Session};
use crate::shared::Shared;

mod deadlines;

/// Work of one connection before others have their turn, bytes.
const TURN_BYTES: usize = 2 << 20;
/// Payload offered to the kernel in one call, bytes (measured: docs/decisions/0011).
const WRITE_BYTES: usize = 1 << 20;
/// Requests of one connection before others have their turn.
const TURN_REQUESTS: usize = 64;
/// How long the last frame may take to reach the peer, milliseconds.
const FAREWELL_MS: u64 = 1000;

/// Buffers that all connections of a reactor use in turn, so that requests allocate nothing.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(crate) found: Vec<bool>,
    pub(crate) blocks: Vec<Option<PinnedBlock>>,
    pub(crate) locations: Vec<Option<BlockLocation>>,
    pub(crate) writes: Vec<PutKey>,
    pub(crate) write_keys: Vec<u32>,
    pub(crate) reservations: Vec<Reservation>,
    pieces: Vec<IoVector>,
    released: Vec<PinnedBlock>,
    ended: Vec<Ends>,
}

/// What a connection's turn works with.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) counters: &'a Counters,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) now_us: u64,
}

impl Context<'_> {
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1000
    }

    /// Epoch of the newest map that this node was told of.
    pub(crate) fn epoch(&self) -> u64 {
        self.shared.route().epoch()
    }
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The peer is gone, or the stream is broken; there is nobody to tell.
    Gone,
    /// The peer did not take an answer in time: it is cut off in the middle of it.
    ReaderCut,
    /// The peer is told why.
    Goodbye(Denied),
    /// The peer was told why by its last answer.
    Refused,
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        Self::Goodbye(Denied::new(error.status(), error.to_string()))
    }
}

impl From<Denied> for End {
    fn from(denied: Denied) -> Self {
        Self::Goodbye(denied)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => {
                Denied::new(AnswerStatus::Malformed, error.to_string()).into()
            }
            _ => Self::Gone,
        }
    }
}

/// What the end of a turn leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// There is more to do at once.
    Again,
    /// Nothing to do until the socket says so.
    Wait,
    /// The connection is over.
    Over,
}

/// Where a connection is in its life.
enum Phase {
    /// The hello is awaited until a time, monotonic milliseconds.
    Greeting(u64),
    /// Requests are served.
    Open(Box<Session>),
    /// The last frame is on its way; what arrives is dropped, until a time.
    Farewell(u64),
}

/// One peer's connection: a state machine that does a bounded amount of work at a time.
pub(crate) struct Connection {
    stream: Stream,
    phase: Phase,
    /// Whether the socket may have bytes, as far as is known.
    readable: bool,
    /// Whether the peer has ended its side: an empty socket is no longer a reason to wait.
    ended: bool,
    /// Whether the socket may take bytes, as far as is known.
    writable: bool,
    /// Whether the buffer may hold whole frames that a turn had no time for.
    has_frames: bool,
    /// Whether a turn is due (kept by the reactor).
    pub(crate) is_queued: bool,
    incoming: Incoming,
    exchange: Exchange,
    /// The put whose payload is arriving.
    receiving: Option<GrantedPut>,
    low_water: LowWater,
    requests_in_flight: u32,
    active_ms: u64,
    views_checked_ms: u64,
}

impl Connection {
    pub(crate) fn new(stream: Stream, now_ms: u64) -> Self {
        Self {
            stream,
            phase: Phase::Greeting(now_ms + u64::from(HELLO_DEADLINE_MS)),
            readable: true,
            ended: false,
            writable: true,
            has_frames: false,
            is_queued: false,
            incoming: Incoming::default(),
            exchange: Exchange::default(),
            receiving: None,
            low_water: LowWater::default(),
            requests_in_flight: 0,
            active_ms: now_ms,
            views_checked_ms: now_ms,
        }
    }

    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether its hello was accepted and it is not at its end.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether nothing was said to it yet.
    pub(crate) fn awaits_hello(&self) -> bool {
        matches!(self.phase, Phase::Greeting(_))
    }

    /// Notes what the poller saw.
    pub(crate) fn note_ready(&mut self, readable: bool, ended: bool, writable: bool) {
        self.readable |= readable | ended;
        self.ended |= ended;
        self.writable |= writable;
    }

    /// Whether anything is under way that a deadline watches.
    pub(crate) fn is_busy(&self) -> bool {
        self.requests_in_flight > 0 || !matches!(self.phase, Phase::Open(_))
    }

    /// Does a bounded amount of work.
    pub(crate) fn turn(&mut self, context: &mut Context<'_>) -> Turn {
        let turn = match self.work(context) {
            Ok(()) => self.next_turn(),
            Err(end) => self.end(end, context),
        };
        let remaining = self.receiving.as_ref();
        let remaining = remaining.map_or(0, GrantedPut::remaining_bytes);
        self.low_water.follow(&self.stream, remaining);
        turn
    }

    fn next_turn(&self) -> Turn {
        let outgoing = &self.exchange.outgoing;
        let reads = (self.readable || self.has_frames) && !outgoing.is_backlogged();
        let writes = self.writable && !outgoing.is_empty();
        if reads || writes || !self.exchange.copies.is_empty() {
            Turn::Again
        } else {
            Turn::Wait
        }
    }

    fn work(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        if let Phase::Farewell(_) = self.phase {
            self.send(context)?;
            if self.exchange.outgoing.is_empty() {
                self.stream.shutdown_write();
            }
            return self.discard();
        }
        self.receive(context)?;
        self.copy(context);
        self.send(context)
    }

    /// Reads and handles until the turn's share is used up or the socket is empty.
    fn receive(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        let (mut bytes, mut requests) = (0, 0);
        self.has_frames = false;
        while bytes < TURN_BYTES && requests < TURN_REQUESTS {
            if self.exchange.outgoing.is_backlogged() {
                break;
            }
            if self.receiving.is_none() && self.handle_next(context)? {
                requests += 1;
            } else if !self.readable {
                return Ok(());
            } else if self.receiving.is_some() {
                bytes += self.receive_payload(context)?;
            } else {
                bytes += self.read_more(context)?;
            }
        }
        self.has_frames = self.receiving.is_none() && self.incoming.has_rest();
        Ok(())
    }

    fn read_more(&mut self, context: &mut Context<'_>) -> Result<usize, End> {
        let exact = !self.exchange.grants.is_empty();
        let read = match self.incoming.read(&self.stream, exact) {
            Ok(ReadResult::End) => return Err(End::Gone),
            Ok(ReadResult::Bytes(read)) => read,
            Ok(ReadResult::Drained(read)) => {
                self.readable = self.ended;
                read
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                0
            }
            Err(error) => return Err(error.into()),
        };
        self.note_received(read, context);
        Ok(read)
    }

    fn note_received(&mut self, bytes: usize, context: &Context<'_>) {
        if bytes > 0 {
            context.counters.bytes_received.add(bytes as u64);
            self.active_ms = context.now_ms();
        }
    }

    /// Reads payload into the slots of the put whose turn it is; returns how many bytes.
    fn receive_payload(&mut self, context: &mut Context<'_>) -> Result<usize, End> {
        let Some(grant) = &mut self.receiving else {
            return Ok(0);
        };
        let received = grant.receive(&self.stream, &mut context.scratch.pieces)?;
        self.readable = received.bytes > 0 && (!received.drained || self.ended);
        if received.complete
            && let Some(grant) = self.receiving.take()
        {
            let ends = grant.put.ends;
            let statuses = grant.finish(context.shared);
            self.exchange.put_done(ends, &statuses, context);
        }
        self.note_received(received.bytes, context);
        Ok(received.bytes)
    }

    /// Handles the next frame that is here whole; false when there is none.
    fn handle_next(&mut self, context: &mut Context<'_>) -> Result<bool, End> {
        let greeted = matches!(self.phase, Phase::Open(_));
        let Some(frame) = self.incoming.next_frame(greeted)? else {
            return Ok(false);
        };
        let buffer = self.incoming.take_buffer();
        let result = self.handle(&frame.header, &buffer[frame.body], context);
        self.incoming.put_back(buffer);
        result.map(|()| true)
    }

    fn handle(
        &mut self,
        header: &Header,
        body: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), End> {
        if header.kind == Kind::PutData {
            return self.begin_payload(header, body, context);
        }
        if header.payload_bytes != 0 {
            return Err(malformed(format!("{:?} carries no payload", header.kind)));
        }
        context.counters.request(header.kind);
        self.requests_in_flight += 1;
        if self.requests_in_flight > REQUESTS_IN_FLIGHT_MAX {
            let text = format!("more than {REQUESTS_IN_FLIGHT_MAX} requests are unanswered");
            return Err(malformed(text));
        }
        let request = Request {
            header,
            body,
            ends: Ends {
                kind: header.kind,
                request: header.request,
                started_us: context.now_us,
                expires_ms: context.now_ms() + u64::from(deadline_ms(header)),
            },
        };
        let Phase::Open(session) = &mut self.phase else {
            let family = self.stream.family();
            let session = requests::hello(&mut self.exchange, &request, family, context)?;
            self.phase = Phase::Open(Box::new(session));
            return Ok(());
        };
        let descriptors = &mut self.incoming;
        let result = if context.shared.is_stopping() {
            Err(Denied::new(AnswerStatus::Unavailable, "the node is shutting down").into())
        } else {
            requests::dispatch(&mut self.exchange, session, &request, context, || {
                descriptors.take_descriptor()
            })
        };
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Refused(denied)) => {
                self.exchange.refuse(request.ends, &denied, context);
                Ok(())
            }
            Err(Failure::Malformed(denied)) => Err(denied.into()),
        }
    }

    /// Matches a payload with its grant; from here on the stream carries the blocks.
    fn begin_payload(
        &mut self,
        header: &Header,
        body: &[u8],
        context: &mut Context<'_>,
    ) -> Result<(), End> {
        let Some(grant) = self.exchange.grants.remove(&header.request) else {
            let text = format!("request {} has no grant for payload", header.request);
            return Err(malformed(text));
        };
        if !body.is_empty() || self.incoming.has_rest() {
            return Err(malformed("payload was sent before its grant".to_owned()));
        }
        if header.payload_bytes == 0 {
            let ends = grant.put.ends;
            let statuses = grant.put.abandon(KeyStatus::Cancelled);
            self.exchange.put_done(ends, &statuses, context);
            return Ok(());
        }
        if header.payload_bytes != grant.payload_bytes() {
            return Err(malformed(format!(
                "payload of request {} has {} bytes, granted were {}",
                header.request,
                header.payload_bytes,
                grant.payload_bytes()
            )));
        }
        self.receiving = Some(grant);
        Ok(())
    }

    /// Copies a turn's share of the oldest put out of offered memory.
    fn copy(&mut self, context: &mut Context<'_>) {
        let mut share = TURN_BYTES;
        while share > 0
            && let Some(copy) = self.exchange.copies.front_mut()
        {
            let (bytes, complete) = copy.advance(&self.exchange.regions, share);
            context.counters.bytes_copied.add(bytes as u64);
            share = share.saturating_sub(bytes);
            if complete && let Some(copy) = self.exchange.copies.pop_front() {
                let ends = copy.put.ends;
                let statuses = copy.finish(context.shared);
                self.exchange.put_done(ends, &statuses, context);
            }
        }
    }

    fn send(&mut self, context: &mut Context<'_>) -> Result<(), End> {
        let mut share = TURN_BYTES;
        while share > 0 && self.writable && !self.exchange.outgoing.is_empty() {
            let scratch = &mut *context.scratch;
            let written = self.exchange.outgoing.write(
                &self.stream,
                share.min(WRITE_BYTES),
                &mut scratch.pieces,
                &mut scratch.released,
                &mut scratch.ended,
            )?;
            self.writable = !written.full;
            share = share.saturating_sub(written.bytes.max(1));
            context.counters.bytes_sent.add(written.bytes as u64);
            if !scratch.released.is_empty() {
                context
                    .shared
                    .engine
                    .release_batch(scratch.released.drain(..));
            }
            if written.bytes > 0 {
                self.active_ms = context.now_us / 1000;
            }
            for ends in scratch.ended.drain(..) {
                self.requests_in_flight = self.requests_in_flight.saturating_sub(1);
                let elapsed_us = context.shared.clock.monotonic_us() - ends.started_us;
                context.counters.latency(ends.kind, elapsed_us);
            }
        }
        Ok(())
    }

    /// Drops a turn's share of what still arrives.
    fn discard(&mut self) -> Result<(), End> {
        let mut bytes = 0;
        while self.readable && bytes < TURN_BYTES {
            self.incoming.discard();
            match self.incoming.read(&self.stream, false) {
                Ok(ReadResult::End) => return Err(End::Gone),
                Ok(ReadResult::Bytes(read)) => bytes += read,
                Ok(ReadResult::Drained(_)) => self.readable = self.ended,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                Err(_) => return Err(End::Gone),
            }
        }
        Ok(())
    }

    /// Begins the end: tells the peer if it can be told, and lets everything else go.
    fn end(&mut self, end: End, context: &Context<'_>) -> Turn {
        if matches!(self.phase, Phase::Farewell(_)) {
            return Turn::Over;
        }
        let denied = match end {
            End::Gone => return Turn::Over,
            End::ReaderCut => {
                self.stream.reset_on_close();
                return Turn::Over;
            }
            End::Refused => None,
            End::Goodbye(denied) => Some(denied),
        };
        if let Some(denied) = denied {
            if denied.status == AnswerStatus::Malformed {
                context.counters.protocol_errors.add(1);
            }
            self.exchange.outgoing.drop_unbegun();
            let mut header = Header::new(Kind::Goodbye, 0);
            header.status = denied.status;
            header.epoch = context.epoch();
            let mut body = Vec::new();
            Refusal::encode(&denied.text, &mut body);
            self.exchange.outgoing.push(&header, &body, None);
        }
        self.exchange.let_go();
        self.receiving = None;
        self.incoming.discard();
        self.phase = Phase::Farewell(context.now_ms() + FAREWELL_MS);
        Turn::Again
    }
}

fn malformed(text: String) -> End {
    Denied::new(AnswerStatus::Malformed, text).into()
}

/// The time a request gives; one that names none has the longest.
fn deadline_ms(header: &Header) -> u32 {
    match header.deadline_ms {
        0 => DEADLINE_MS_MAX,
        given => given,
    }
}
