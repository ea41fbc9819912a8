//! Requests of operations that have ended early: their answers still come, their memory is not
//! touched any more.

use std::collections::VecDeque;

use holdfast_wire::{Header, Kind};

use super::sender::Stopped;
use super::{Lane, LaneFailure};
use crate::request::{PutStage, Request, RequestKind};

/// Payload of abandoned requests that is still drained; more than this ends the lane.
const DRAIN_BYTES_MAX: u64 = 4 << 20;
/// The same while the lane carries other calls' requests, which its end would set back: about as
/// much as one request moves.
const DRAIN_SHARED_BYTES_MAX: u64 = 64 << 20;
/// Rest of an abandoned put that is copied to be sent without the caller's memory, bytes.
const COPY_BYTES_MAX: u64 = 1 << 20;
impl Lane {
    /// Cuts an operation's requests loose: from here on the lane touches none of its memory.
    /// They are appended to `taken` as they stand.
    ///
    /// # Errors
    /// [`LaneFailure::MidPayload`] when the lane must be dropped for it; requests that were not
    /// taken yet are still on it then.
    pub(crate) fn abandon(
        &mut self,
        operation: u64,
        taken: &mut Vec<Request>,
    ) -> Result<(), LaneFailure> {
        let mut kept = VecDeque::new();
        for request in std::mem::take(&mut self.waiting) {
            if request.operation == operation {
                self.outstanding_bytes -= request.payload_bytes();
                taken.push(request);
            } else {
                kept.push_back(request);
            }
        }
        self.waiting = kept;
        let arriving = self.receiver.arriving();
        if arriving.is_some_and(|request| request.operation == operation) {
            self.check_drain(operation, self.receiver.payload_remaining())?;
            if let Some(request) = self.receiver.divert() {
                self.settle(&request);
                taken.push(request);
            }
        }
        for at in 0..self.requests.len() {
            if self.requests[at].operation == operation && !self.requests[at].abandoned {
                let request = self.disown(at)?;
                taken.push(request);
            }
        }
        Ok(())
    }

    /// Whether `bytes` of payload that nobody wants, and what abandoned requests may still bring,
    /// are worth keeping the lane; `operation` is the one that does not want it.
    pub(super) fn check_drain(&self, operation: u64, bytes: u64) -> Result<(), LaneFailure> {
        let own = |request: &Request| request.operation == operation || request.operation == 0;
        let mut all = self.requests.iter().chain(&self.waiting);
        let is_shared = all.any(|request| !request.abandoned && !own(request));
        let left = match is_shared {
            true => DRAIN_SHARED_BYTES_MAX.saturating_sub(self.unwanted_bytes()),
            false => DRAIN_BYTES_MAX,
        };
        if bytes > left {
            return Err(LaneFailure::MidPayload);
        }
        Ok(())
    }

    /// Payload that abandoned gets may still bring.
    fn unwanted_bytes(&self) -> u64 {
        let husks = self.requests.iter().filter(|request| request.abandoned);
        let gets = husks.filter(|husk| husk.kind == RequestKind::Get);
        gets.map(Request::payload_bytes).sum()
    }

    /// Leaves a husk in the place of a request, which takes its answer; returns the request.
    fn disown(&mut self, at: usize) -> Result<Request, LaneFailure> {
        let number = self.requests[at].number;
        let kind = self.requests[at].kind;
        if kind == RequestKind::Put && self.requests[at].stage == PutStage::Granted {
            match self.sender.stop(number, COPY_BYTES_MAX) {
                Stopped::MidPayload => return Err(LaneFailure::MidPayload),
                Stopped::NotBegun => self.give_grant_back(number),
                Stopped::Unknown | Stopped::Copied => {}
            }
        }
        let request = &self.requests[at];
        let mut husk = Request::own(kind, request.space, request.deadline);
        husk.number = number;
        husk.operation = request.operation;
        husk.abandoned = true;
        husk.ids.clone_from(&request.ids);
        husk.block_bytes = request.block_bytes;
        husk.sent_at = request.sent_at;
        husk.stage = request.stage;
        Ok(std::mem::replace(&mut self.requests[at], husk))
    }

    pub(super) fn give_grant_back(&mut self, number: u32) {
        Header::new(Kind::PutData, number).encode(&[], self.sender.frames());
    }
}
