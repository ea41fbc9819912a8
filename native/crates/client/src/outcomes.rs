//! What answers and failures do to the operations that wait for them.

use std::time::Instant;

use holdfast_wire::{AnswerStatus, KeyStatus};

use crate::lane::{LaneEvent, LaneFailure};
use crate::operation::{CopyBatch, OperationKind, Running};
use crate::request::{Outcome, PutStage, Request, RequestKind, status_of_refusal};
use crate::state::State;

impl State {
    /// Applies what happened on a lane.
    pub(crate) fn on_events(&mut self, number: u64, node: u64, events: Vec<LaneEvent>) {
        for event in events {
            match event {
                LaneEvent::Ready(welcome) => {
                    self.ungreeted -= 1;
                    if let Some(peer) = self.peers.get_mut(&node) {
                        peer.recover(welcome.incarnation);
                        self.stale |= welcome.incarnation != peer.entry.incarnation;
                    }
                    self.dirty.push(number);
                }
                LaneEvent::Finished(request, outcome) => {
                    self.dirty.push(number);
                    self.on_finished(node, *request, outcome);
                }
                LaneEvent::Located(request, blocks) => {
                    self.dirty.push(number);
                    self.note_pace(node, &request);
                    self.on_located(CopyBatch {
                        node,
                        request,
                        blocks: blocks.into(),
                        mismatched: Vec::new(),
                        corrupt: Vec::new(),
                    });
                }
            }
        }
    }

    fn on_finished(&mut self, node: u64, mut request: Request, outcome: Outcome) {
        match outcome {
            Outcome::Answered => self.note_pace(node, &request),
            Outcome::Refused(status, text) => {
                self.on_refused(node, &request, status, text);
                request.results = vec![Some(status_of_refusal(status)); request.keys.len()];
            }
        }
        if request.abandoned || request.operation == 0 {
            return;
        }
        self.absorb(node, request);
    }

    /// Remembers how long a node took for a read.
    fn note_pace(&mut self, node: u64, request: &Request) {
        if request.kind == RequestKind::Get
            && let Some(sent_at) = request.sent_at
            && let Some(peer) = self.peers.get_mut(&node)
        {
            peer.pace.note(request.payload_bytes(), sent_at.elapsed());
        }
    }

    fn on_refused(&mut self, node: u64, request: &Request, status: AnswerStatus, text: String) {
        self.stale |= status == AnswerStatus::StaleEpoch;
        if let Some(peer) = self.peers.get_mut(&node) {
            // A bind's refusal says more than that of the requests which follow from it.
            if request.kind == RequestKind::Bind || status != AnswerStatus::UnknownSpace {
                peer.last_error = text;
            }
            if status == AnswerStatus::Unavailable {
                peer.fail(&self.config, &mut self.random, Instant::now());
                self.watch_retry(node);
            }
        }
    }

    /// Takes a request's results over into its operation; keys that need it are asked for
    /// elsewhere.
    pub(crate) fn absorb(&mut self, node: u64, request: Request) {
        let token = request.operation;
        let Some(mut running) = self.operations.remove(&token) else {
            return;
        };
        self.report_corrupt(node, &request);
        let mut further = Vec::new();
        for (at, key) in request.keys.iter().enumerate() {
            let status = request.results.get(at).copied().flatten();
            let status = status.unwrap_or(KeyStatus::Unreachable);
            self.record(&mut running, (node, &request), at, status, &mut further);
            if status == KeyStatus::Hit
                && let Some(entry) = request.stats.get(at)
                && running.stats[*key as usize].is_none()
            {
                running.stats[*key as usize] = Some((node, *entry));
            }
        }
        if running.ending.is_none() {
            self.dispatch(&mut running, further);
            self.settle_stripes(&mut running);
        }
        self.operations.insert(token, running);
        self.finish_if_done(token);
    }

    pub(crate) fn record(
        &mut self,
        running: &mut Running,
        (node, request): (u64, &Request),
        at: usize,
        status: KeyStatus,
        further: &mut Vec<u32>,
    ) {
        let key = request.keys[at];
        if let Some(slot) = request.slot.map(usize::from) {
            if let Some(peer) = self.peers.get_mut(&node)
                && status == KeyStatus::Hit
            {
                peer.counters.hits += 1;
            }
            if matches!(running.kind, OperationKind::Put | OperationKind::Pin) {
                self.record_at_owner(running, (node, request), (slot, key), status);
            } else if self.record_chunk(running, (slot, key), (status, request.sum(at))) {
                further.push(key);
            }
        } else if running.kind.asks_all() {
            if status == KeyStatus::NotOwner {
                running.note_not_owner(node, key, request);
            }
            running.count_answer(key, status);
        } else if status == KeyStatus::Hit {
            if let Some(peer) = self.peers.get_mut(&node) {
                peer.counters.hits += 1;
            }
            running.decide(key, status);
        } else {
            running.keys[key as usize].seen.add(status);
            further.push(key);
        }
    }

    /// Tells a node which of its blocks arrived with other bytes than were stored.
    pub(crate) fn report_corrupt(&mut self, node: u64, request: &Request) {
        if request.corrupt.is_empty() {
            return;
        }
        self.counters.corrupt += request.corrupt.len() as u64;
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        peer.counters.corrupt += request.corrupt.len() as u64;
        let Some(number) = peer.lanes.iter().flatten().next().copied() else {
            return;
        };
        let Some(lane) = self.lanes.get_mut(&number) else {
            return;
        };
        for (id, write_id) in &request.corrupt {
            let mut report = Request::own(RequestKind::Report, request.space, request.deadline);
            report.argument = *write_id;
            report.ids = vec![*id];
            lane.submit(report);
        }
        self.dirty.push(number);
    }

    /// A request whose lane is gone: what it has got counts; the rest is asked for once more on a
    /// new lane if the node may be fine, or else elsewhere. A lane that was closed for a call of
    /// this client's own costs the others no try, and their puts go on with their write ids.
    pub(crate) fn on_broken(
        &mut self,
        node: u64,
        mut request: Request,
        failure: &LaneFailure,
        retry: bool,
    ) {
        let ours = failure.is_ours();
        let moved = request.kind.writes() && request.stage != PutStage::Asked;
        let may_retry = retry && (ours || (!moved && !request.retried));
        let missing = request.keys.len()
            - request
                .results
                .iter()
                .flatten()
                .count()
                .min(request.keys.len());
        if may_retry && missing > 0 && self.retry(node, &mut request, ours) {
            return;
        }
        let status = match failure {
            _ if request.kind.writes() && (moved || request.sent_at.is_some()) => {
                KeyStatus::Unknown
            }
            LaneFailure::Silent => KeyStatus::TimedOut,
            _ => KeyStatus::Unreachable,
        };
        request.fill(status);
        self.absorb(node, request);
    }

    /// Sends the keys without a result once more to the same node; false when that is no use.
    /// `ours`: the lane did not fail, this client has closed it.
    fn retry(&mut self, node: u64, request: &mut Request, ours: bool) -> bool {
        let now = Instant::now();
        if now >= request.deadline || !self.usable(node) {
            return false;
        }
        let Some(mut running) = self.operations.remove(&request.operation) else {
            return false;
        };
        let mut keys = Vec::new();
        let mut further = Vec::new();
        for (at, key) in request.keys.iter().enumerate() {
            match request.results.get(at).copied().flatten() {
                Some(status) => {
                    self.record(&mut running, (node, request), at, status, &mut further);
                }
                None => {
                    running.keys[*key as usize].cut |= ours && request.kind.writes();
                    keys.push(*key);
                }
            }
        }
        self.report_corrupt(node, request);
        let mut again = running.request(request.slot, keys);
        again.retried = request.retried || !ours;
        let token = request.operation;
        self.hand_to_lane(&mut running, node, again);
        self.dispatch(&mut running, further);
        self.operations.insert(token, running);
        self.finish_if_done(token);
        true
    }

    /// Ends an operation from outside: `status` is what its undecided keys get. Once it is
    /// finished nothing touches its memory.
    pub(crate) fn end(&mut self, token: u64, status: KeyStatus) {
        let Some(mut running) = self.operations.remove(&token) else {
            return;
        };
        if running.ending.is_none() {
            running.ending = Some(status);
            if status == KeyStatus::TimedOut {
                running.decide_put_off();
            }
            running.put_off.clear();
            self.copy_batches -= running.copy_batches.len();
            for batch in std::mem::take(&mut running.copy_batches) {
                let mut request = *batch.request;
                request.fill(status);
                self.take_over(&mut running, batch.node, &request);
            }
            for (node, mut request) in self.cut_loose(token, &running.lanes.clone()) {
                let moved = request.kind.writes() && request.sent_at.is_some();
                request.fill(if moved { KeyStatus::Unknown } else { status });
                self.take_over(&mut running, node, &request);
            }
            self.end_stripes(&mut running, status);
            for key in 0..running.keys.len() as u32 {
                let is_open = !running.keys[key as usize].decided && !running.is_computing(key);
                if is_open && running.copying == 0 {
                    running.keys[key as usize].seen.add(status);
                    let merged = running.merged(key);
                    running.decide(key, merged);
                }
            }
        }
        self.operations.insert(token, running);
        self.finish_if_done(token);
    }

    /// Results of a request of an operation that is being ended: nothing is asked again.
    fn take_over(&mut self, running: &mut Running, node: u64, request: &Request) {
        self.report_corrupt(node, request);
        let mut further = Vec::new();
        for at in 0..request.keys.len() {
            if let Some(status) = request.results.get(at).copied().flatten() {
                self.record(running, (node, request), at, status, &mut further);
            }
        }
        if running.stripes.is_some() {
            // What else has arrived may make up for it.
            return;
        }
        for key in further {
            let merged = running.merged(key);
            running.decide(key, merged);
        }
    }

    /// Takes an operation's requests off their lanes; a lane that cannot go on without its
    /// memory is dropped.
    pub(crate) fn cut_loose(&mut self, token: u64, lanes: &[u64]) -> Vec<(u64, Request)> {
        let mut cut = Vec::new();
        for number in lanes {
            let Some(lane) = self.lanes.get_mut(number) else {
                continue;
            };
            let node = lane.node;
            let mut taken = Vec::new();
            if let Err(failure) = lane.abandon(token, &mut taken) {
                let others = self.drop_lane(*number, &failure);
                for request in others {
                    if request.operation == token {
                        taken.push(request);
                    } else {
                        self.on_broken(node, request, &failure, true);
                    }
                }
            }
            self.dirty.push(*number);
            cut.extend(taken.into_iter().map(|request| (node, request)));
        }
        cut
    }
}

impl Request {
    /// Gives every key without a result this one.
    pub(crate) fn fill(&mut self, status: KeyStatus) {
        self.results.resize(self.keys.len(), None);
        for result in &mut self.results {
            result.get_or_insert(status);
        }
    }
}
