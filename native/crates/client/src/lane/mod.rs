//! One connection to a node: what goes out, what comes in, and the requests between.
//!
//! A lane never waits and knows neither operations nor other lanes; it turns bytes into
//! [`LaneEvent`]s. Payload is written to and read from the caller's memory only in
//! [`Lane::receive`] and [`Lane::flush`].

mod abandon;
mod answers;
mod failure;
mod offers;
mod payload;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_transport::{LowWater, Mapping, Stream};
use holdfast_wire::limits::{DEADLINE_MS_MAX, REQUESTS_IN_FLIGHT_MAX};
use holdfast_wire::{
    BindRequest, FEATURES, Header, Hello, Kind, TICKET_BYTES, TransportKind, VERSION_MAX,
    VERSION_MIN, Welcome,
};

pub(crate) use failure::LaneFailure;
use offers::Offers;
use receiver::{Receiver, Step};
pub(crate) use sender::Flushed;
use sender::Sender;

use crate::request::{Outcome, PutStage, Request, RequestKind};
use crate::views::Views;

/// What is checksummed and moved at once, bytes: fits the second-level cache.
pub(crate) const PIECE_BYTES: usize = 256 << 10;
/// How long after its deadline the answer to a request is looked for.
const LOOSE_END_MAX: Duration = Duration::from_secs(1);
/// Requests of a lane that are kept for its own use (binding, offering, reporting).
const RESERVED_REQUESTS: usize = 8;

/// A ticket and how often it was renewed.
#[derive(Clone)]
pub(crate) struct Credential {
    pub ticket: [u8; TICKET_BYTES],
    pub generation: u64,
}

/// What a lane needs of its client to send requests.
pub(crate) struct LaneContext<'a> {
    pub tenant: &'a Credential,
    pub spaces: &'a dyn Fn(u32) -> Option<Credential>,
    pub epoch: u64,
    pub now: Instant,
}

/// Who speaks on a lane, to whom.
pub(crate) struct LaneIdentity {
    pub cluster: [u8; 16],
    pub client: [u8; 16],
    pub node: u64,
    pub transport: TransportKind,
}

/// A block that the client copies out of a view.
pub(crate) struct CopyBlock {
    /// Place in the request.
    pub at: usize,
    pub view: Arc<Mapping>,
    pub offset: usize,
    pub crc: u32,
    pub write_id: u32,
}

/// What happened on a lane.
pub(crate) enum LaneEvent {
    /// The node has greeted; requests flow.
    Ready(Welcome),
    /// A request has ended.
    Finished(Box<Request>, Outcome),
    /// These blocks of a get lie in shared memory; its other results are filled in.
    Located(Box<Request>, Vec<CopyBlock>),
}

pub(crate) struct Lane {
    pub node: u64,
    /// Which of its node's lanes it is.
    pub place: usize,
    pub transport: TransportKind,
    stream: Stream,
    sender: Sender,
    receiver: Receiver,
    low_water: LowWater,
    cluster: [u8; 16],
    welcome: Option<Welcome>,
    /// Sent and not wholly answered.
    requests: Vec<Request>,
    /// Not sent yet.
    waiting: VecDeque<Request>,
    number: u32,
    bound: HashMap<u32, u64>,
    tenant_generation: u64,
    opened_at: Instant,
    views: Views,
    offers: Offers,
    granted_bytes: u64,
    /// Payload that its requests move in all, sent or waiting.
    pub outstanding_bytes: u64,
    pub readable: bool,
    pub writable: bool,
    /// The node has closed its side; what it sent before may still be there.
    pub hung_up: bool,
    /// Whether it stands in the client's list of lanes with something to do.
    pub queued: bool,
    pub received_at: Option<Instant>,
    pub bytes_received: u64,
    /// Newest map epoch that the node has shown.
    pub epoch_seen: u64,
}

impl Lane {
    /// A lane on a stream that may still be connecting; the hello goes first.
    pub(crate) fn new(
        stream: Stream,
        identity: &LaneIdentity,
        place: usize,
        tenant: &Credential,
        now: Instant,
    ) -> Self {
        let mut sender = Sender::default();
        let mut body = Vec::new();
        Hello {
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            features: FEATURES,
            cluster: identity.cluster,
            node: identity.node,
            client: identity.client,
            transport: identity.transport,
            ticket: tenant.ticket,
        }
        .encode(&mut body);
        Header::new(Kind::Hello, 0).encode(&body, sender.frames());
        Self {
            node: identity.node,
            place,
            transport: identity.transport,
            stream,
            sender,
            receiver: Receiver::new(),
            low_water: LowWater::default(),
            cluster: identity.cluster,
            welcome: None,
            requests: Vec::new(),
            waiting: VecDeque::new(),
            number: 0,
            bound: HashMap::new(),
            tenant_generation: tenant.generation,
            opened_at: now,
            views: Views::default(),
            offers: Offers::default(),
            granted_bytes: 0,
            outstanding_bytes: 0,
            readable: false,
            writable: true,
            hung_up: false,
            queued: false,
            received_at: None,
            bytes_received: 0,
            epoch_seen: 0,
        }
    }

    pub(crate) fn ready(&self) -> bool {
        self.welcome.is_some()
    }

    /// Requests that are sent and not answered, or wait to be sent.
    pub(crate) fn load(&self) -> usize {
        self.requests.len() + self.waiting.len() + usize::from(self.receiver.arriving().is_some())
    }

    pub(crate) fn views(&self) -> usize {
        self.views.len()
    }

    /// Takes a request; it is sent as soon as the node's limits allow.
    pub(crate) fn submit(&mut self, request: Request) {
        self.outstanding_bytes += request.payload_bytes();
        self.waiting.push_back(request);
    }

    /// Writes waiting requests to the outbound queue.
    pub(crate) fn pump(&mut self, context: &LaneContext<'_>) {
        let Some(welcome) = &self.welcome else {
            return;
        };
        let requests_max = welcome.requests_max.min(REQUESTS_IN_FLIGHT_MAX) as usize;
        let usable = requests_max.saturating_sub(RESERVED_REQUESTS).max(1);
        let grant_bytes_max = welcome.grant_bytes_max;
        if self.tenant_generation != context.tenant.generation {
            self.tenant_generation = context.tenant.generation;
            self.bind(0, context.tenant, context);
        }
        while let Some(front) = self.waiting.front() {
            let grants = matches!(front.kind, RequestKind::Put);
            let bytes = front.payload_bytes();
            if self.requests.len() >= usable
                || (grants
                    && self.granted_bytes > 0
                    && self.granted_bytes + bytes > grant_bytes_max)
            {
                return;
            }
            let offered = grants && self.wants_offer(front);
            if offered && !self.offer_regions(context) {
                return;
            }
            let Some(request) = self.waiting.pop_front() else {
                return;
            };
            if let Some(credential) = (context.spaces)(request.space)
                && self.bound.get(&request.space) != Some(&credential.generation)
            {
                self.bound.insert(request.space, credential.generation);
                self.bind(request.space, &credential, context);
            }
            if grants {
                self.granted_bytes += bytes;
            }
            self.start(request, context);
        }
    }

    fn bind(&mut self, space: u32, credential: &Credential, context: &LaneContext<'_>) {
        let mut body = Vec::with_capacity(TICKET_BYTES);
        BindRequest {
            ticket: credential.ticket,
        }
        .encode(&mut body);
        let deadline = context.now;
        let mut request = Request::own(RequestKind::Bind, space, deadline);
        request.sent_at = Some(context.now);
        self.send(request, Kind::Bind, &body, DEADLINE_MS_MAX, context.epoch);
    }

    fn start(&mut self, mut request: Request, context: &LaneContext<'_>) {
        let left = request.deadline.saturating_duration_since(context.now);
        let deadline_ms = (left.as_millis() as u64).clamp(1, u64::from(DEADLINE_MS_MAX)) as u32;
        request.sent_at = Some(context.now);
        let mut body = Vec::with_capacity(16 + request.ids.len() * 28);
        let kind = match request.kind {
            RequestKind::Put if self.sends_offered(&request) => {
                request.encode_offered(|region| self.offers.number(region), &mut body);
                Kind::PutOffered
            }
            RequestKind::Put => {
                request.encode_put(&mut body);
                Kind::Put
            }
            keyed => {
                request.encode_keys(&mut body);
                match keyed {
                    RequestKind::Exists | RequestKind::Touch => Kind::Exists,
                    RequestKind::Get => Kind::Get,
                    RequestKind::Delete => Kind::Delete,
                    RequestKind::Pin => Kind::Pin,
                    RequestKind::Stat => Kind::Stat,
                    _ => Kind::Report,
                }
            }
        };
        if kind == Kind::PutOffered {
            request.stage = PutStage::Sent;
        }
        self.send(request, kind, &body, deadline_ms, context.epoch);
    }

    fn send(
        &mut self,
        mut request: Request,
        kind: Kind,
        body: &[u8],
        deadline_ms: u32,
        epoch: u64,
    ) {
        request.number = self.next_number();
        let mut header = Header::new(kind, request.number);
        header.deadline_ms = deadline_ms;
        header.epoch = epoch;
        header.encode(body, self.sender.frames());
        self.requests.push(request);
    }

    fn next_number(&mut self) -> u32 {
        loop {
            self.number = self.number.wrapping_add(1);
            let number = self.number;
            if number != 0 && self.requests.iter().all(|request| request.number != number) {
                return number;
            }
        }
    }

    /// Sends what the kernel takes, at most about `budget` bytes.
    pub(crate) fn flush(&mut self, budget: usize) -> Result<Flushed, LaneFailure> {
        let flushed = self.sender.flush(&self.stream, budget)?;
        for number in self.sender.take_sent() {
            if let Some(request) = self.find(number) {
                request.stage = PutStage::Sent;
            }
        }
        if flushed == Flushed::Blocked {
            self.writable = false;
        }
        Ok(flushed)
    }

    /// Whether there is something to send.
    pub(crate) fn has_output(&self) -> bool {
        !self.sender.is_empty()
    }

    /// Receives at most about `budget` bytes.
    pub(crate) fn receive(
        &mut self,
        budget: usize,
        now: Instant,
        events: &mut Vec<LaneEvent>,
    ) -> Result<(), LaneFailure> {
        let mut left = budget;
        loop {
            let may_read = self.readable && left > 0 && self.expects_input();
            let next = sole_get(&self.requests);
            match self.receiver.step(&self.stream, may_read, next)? {
                Step::Frame(frame) => self.on_frame(&frame, now, events)?,
                Step::Finished(request) => self.finish(*request, Outcome::Answered, events),
                Step::Moved(bytes, more) => {
                    left = left.saturating_sub(bytes);
                    // The end may lie behind bytes that came with it: it is announced only once.
                    self.readable &= more || self.hung_up;
                    if bytes > 0 {
                        self.received_at = Some(now);
                        self.bytes_received += bytes as u64;
                    }
                }
                Step::Idle => break,
            }
        }
        let remaining = self.receiver.payload_remaining();
        self.low_water.follow(&self.stream, remaining);
        Ok(())
    }

    /// Whether reading is worth a call to the kernel: something is owed, or the end is there.
    pub(crate) fn expects_input(&self) -> bool {
        self.hung_up
            || self.welcome.is_none()
            || !self.requests.is_empty()
            || self.receiver.in_the_middle()
    }

    /// Whether something is to be sent, or an answer is still expected that somebody must see.
    pub(crate) fn has_loose_ends(&self, now: Instant) -> bool {
        let expected = |request: &Request| now < request.deadline + LOOSE_END_MAX;
        self.has_output() || self.requests.iter().chain(&self.waiting).any(expected)
    }

    fn find(&mut self, number: u32) -> Option<&mut Request> {
        self.requests
            .iter_mut()
            .find(|request| request.number == number)
    }

    fn finish(&mut self, request: Request, outcome: Outcome, events: &mut Vec<LaneEvent>) {
        self.settle(&request);
        events.push(LaneEvent::Finished(Box::new(request), outcome));
    }

    /// Takes a request off the lane's books.
    fn settle(&mut self, request: &Request) {
        let bytes = request.payload_bytes();
        self.outstanding_bytes -= bytes;
        if request.kind == RequestKind::Put {
            self.granted_bytes = self.granted_bytes.saturating_sub(bytes);
        }
    }

    /// Since when an operation waits for the node: `None` when it does not.
    pub(crate) fn asked_at(&self, operation: u64) -> Option<Instant> {
        let mut own = self.requests_of(operation);
        if !self.ready() {
            return own.next().map(|_| self.opened_at);
        }
        own.filter_map(|request| request.sent_at).min()
    }

    /// Whether `holds` for every key that an operation waits for here.
    pub(crate) fn every_key(&self, operation: u64, holds: impl Fn(u32) -> bool) -> bool {
        self.requests_of(operation)
            .all(|request| request.keys.iter().all(|key| holds(*key)))
    }

    /// Requests of an operation that are not wholly answered.
    pub(crate) fn requests_of(&self, operation: u64) -> impl Iterator<Item = &Request> {
        self.requests
            .iter()
            .chain(&self.waiting)
            .chain(self.receiver.arriving())
            .filter(move |request| request.operation == operation && !request.abandoned)
    }

    /// Ends the lane: every request that was on it.
    pub(crate) fn into_requests(mut self) -> Vec<Request> {
        let mut requests: Vec<Request> = self.receiver.divert().into_iter().collect();
        requests.append(&mut self.requests);
        requests.extend(self.waiting);
        requests.retain(|request| !request.abandoned && request.operation != 0);
        requests
    }
}

/// The get that is all a lane waits for: whatever comes next is its answer, or the end.
fn sole_get(requests: &[Request]) -> Option<&Request> {
    match requests {
        [only] if only.kind == RequestKind::Get && !only.abandoned => Some(only),
        _ => None,
    }
}
