use std::collections::{HashMap, VecDeque};

use holdfast_wire::{
    AnswerStatus, Header, KeyStatus, Kind, PutDone, Refusal, ViewAnnounce, WireError,
};

use crate::connection::Context;
use crate::grant::GrantedPut;
use crate::offered::OfferedCopy;
use crate::outgoing::{Ends, Outgoing, answer_kind};
use crate::regions::Regions;
use crate::session::Denied;
use crate::views::Views;

/// One request as it arrived.
pub(crate) struct Request<'a> {
    pub(crate) header: &'a Header,
    pub(crate) body: &'a [u8],
    pub(crate) ends: Ends,
}

/// Why a request is not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The request is refused; the connection goes on.
    Refused(Denied),
    /// The request is not of this protocol; the connection ends.
    Malformed(Denied),
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::Refused(denied)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        Self::Malformed(Denied::new(error.status(), error.to_string()))
    }
}

/// What requests of one connection have under way.
#[derive(Default)]
pub(crate) struct Exchange {
    pub(crate) outgoing: Outgoing,
    /// Puts whose payload has not begun to arrive, by request.
    pub(crate) grants: HashMap<u32, GrantedPut>,
    /// Puts that are being copied out of offered memory, in the order of arrival.
    pub(crate) copies: VecDeque<OfferedCopy>,
    pub(crate) regions: Regions,
    pub(crate) views: Views,
}

impl Exchange {
    /// Queues the last answer to a request.
    pub(crate) fn answer(&mut self, ends: Ends, body: &[u8], context: &Context<'_>) {
        self.answer_as(answer_kind(ends.kind), ends, body, context);
    }

    /// The same under another kind than the request's usual one.
    pub(crate) fn answer_as(&mut self, kind: Kind, ends: Ends, body: &[u8], context: &Context<'_>) {
        let mut header = Header::new(kind, ends.request);
        header.epoch = context.epoch();
        self.outgoing.push(&header, body, Some(ends));
    }

    /// Queues a refusal of a whole request.
    pub(crate) fn refuse(&mut self, ends: Ends, denied: &Denied, context: &Context<'_>) {
        let mut header = Header::new(answer_kind(ends.kind), ends.request);
        header.status = denied.status;
        header.epoch = context.epoch();
        let mut body = self.outgoing.buffer();
        Refusal::encode(&denied.text, &mut body);
        self.outgoing.push(&header, &body, Some(ends));
        self.outgoing.recycle(body);
        match denied.status {
            AnswerStatus::DeadlineExceeded => context.counters.requests_expired.add(1),
            _ => context.counters.requests_denied.add(1),
        }
    }

    /// Tells the caller that it no longer needs a view.
    pub(crate) fn announce_retired(&mut self, view: u32, context: &Context<'_>) {
        let mut body = self.outgoing.buffer();
        ViewAnnounce { view, bytes: 0 }.encode(&mut body);
        let mut header = Header::new(Kind::View, 0);
        header.epoch = context.epoch();
        self.outgoing.push(&header, &body, None);
        self.outgoing.recycle(body);
    }

    /// Ends everything that is under way, except what is on its way out.
    pub(crate) fn let_go(&mut self) {
        self.grants.clear();
        self.copies.clear();
        self.regions = Regions::default();
        self.views = Views::default();
    }

    /// Queues the last answer to a put.
    pub(crate) fn put_done(&mut self, ends: Ends, statuses: &[KeyStatus], context: &Context<'_>) {
        context.counters.put_statuses(statuses);
        let mut body = self.outgoing.buffer();
        for status in statuses {
            PutDone::push(&mut body, *status);
        }
        self.answer_as(Kind::PutDone, ends, &body, context);
        self.outgoing.recycle(body);
    }
}
