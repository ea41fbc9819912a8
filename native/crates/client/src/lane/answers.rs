//! What each kind of answer does to the request that it answers.

use std::time::Instant;

use holdfast_wire::{
    AnswerStatus, GetAnswer, Header, KeyStatus, Kind, LocatedAnswer, PutDone, PutGrant, Refusal,
    StatAnswer, TransportKind, Verdict, ViewAnnounce, Welcome, bitmap_get,
};

use super::receiver::Frame;
use super::{CopyBlock, Lane, LaneEvent, LaneFailure};
use crate::request::{Expected, Outcome, PutStage, Request, RequestKind};

impl Lane {
    pub(super) fn on_frame(
        &mut self,
        frame: &Frame,
        now: Instant,
        events: &mut Vec<LaneEvent>,
    ) -> Result<(), LaneFailure> {
        let header = frame.header;
        self.epoch_seen = self.epoch_seen.max(header.epoch);
        self.received_at = Some(now);
        let body = self.receiver.body(frame).to_vec();
        if header.payload_bytes > 0 && header.kind != Kind::GetAnswer {
            return Err(LaneFailure::Protocol("payload where there is none"));
        }
        match header.kind {
            Kind::HelloAnswer => return self.on_welcome(&header, &body, events),
            Kind::Goodbye => {
                return Err(LaneFailure::Refused {
                    status: header.status,
                    text: Refusal::decode(&body)?.text,
                });
            }
            _ if self.welcome.is_none() => {
                return Err(LaneFailure::Protocol("an answer before the greeting"));
            }
            Kind::View => {
                let announce = ViewAnnounce::decode(&body)?;
                let descriptor = match announce.bytes {
                    0 => None,
                    _ => self.receiver.take_descriptor(),
                };
                return self.views.announce(announce, descriptor);
            }
            _ => {}
        }
        let at = self
            .requests
            .iter()
            .position(|request| request.number == header.request)
            .ok_or(LaneFailure::Protocol("an answer to no request"))?;
        if !self.requests[at].kind.answers().contains(&header.kind) {
            return Err(LaneFailure::Protocol("an answer of the wrong kind"));
        }
        self.on_answer(at, &header, &body, events)
    }

    fn on_welcome(
        &mut self,
        header: &Header,
        body: &[u8],
        events: &mut Vec<LaneEvent>,
    ) -> Result<(), LaneFailure> {
        if self.welcome.is_some() {
            return Err(LaneFailure::Protocol("a second greeting"));
        }
        let welcome = Welcome::decode(body)?;
        if header.status != AnswerStatus::Ok {
            return Err(LaneFailure::Refused {
                status: header.status,
                text: welcome.text,
            });
        }
        if welcome.node != self.node || welcome.cluster != self.cluster {
            return Err(LaneFailure::Protocol("greeted by another node or cluster"));
        }
        self.welcome = Some(welcome.clone());
        events.push(LaneEvent::Ready(welcome));
        Ok(())
    }

    fn on_answer(
        &mut self,
        at: usize,
        header: &Header,
        body: &[u8],
        events: &mut Vec<LaneEvent>,
    ) -> Result<(), LaneFailure> {
        self.requests[at].answered_epoch = header.epoch;
        // What does not decode leaves the request where it is: it goes on elsewhere then.
        if header.status != AnswerStatus::Ok {
            let text = Refusal::decode(body)?.text;
            self.receiver.drain(header.payload_bytes);
            let request = self.requests.swap_remove(at);
            self.on_refused(&request);
            self.finish(request, Outcome::Refused(header.status, text), events);
            return Ok(());
        }
        match header.kind {
            Kind::PutGrant => return self.on_grant(at, body),
            Kind::GetAnswer => return self.on_get(at, header, body),
            Kind::Located => return self.on_located(at, body, events),
            _ => {}
        }
        let request = &mut self.requests[at];
        let keys = request.ids.len();
        match header.kind {
            Kind::ExistsAnswer => request.results = bitmap_statuses(body, keys)?,
            Kind::StatAnswer => {
                request.stats = StatAnswer::decode(body, keys)?;
                let statuses = request.stats.iter().map(|entry| Some(entry.status));
                request.results = statuses.collect();
            }
            Kind::PutDone | Kind::DeleteAnswer | Kind::PinAnswer | Kind::ReportAnswer => {
                let statuses = PutDone::decode(body, keys)?;
                request.results = statuses.into_iter().map(Some).collect();
            }
            Kind::OfferAnswer => self.offers.answered(request.argument, true),
            _ => {}
        }
        let request = self.requests.swap_remove(at);
        self.finish(request, Outcome::Answered, events);
        Ok(())
    }

    fn on_refused(&mut self, request: &Request) {
        match request.kind {
            RequestKind::Offer => self.offers.answered(request.argument, false),
            RequestKind::Bind => {
                self.bound.remove(&request.space);
            }
            _ => {}
        }
    }

    fn on_grant(&mut self, at: usize, body: &[u8]) -> Result<(), LaneFailure> {
        let request = &mut self.requests[at];
        if request.stage != PutStage::Asked {
            return Err(LaneFailure::Protocol("a second grant"));
        }
        let verdicts = PutGrant::decode(body, request.ids.len())?;
        let wanted = verdicts
            .iter()
            .enumerate()
            .filter(|(_, verdict)| **verdict == Verdict::Want)
            .map(|(place, _)| place)
            .collect::<Vec<usize>>();
        request.stage = PutStage::Granted;
        let number = request.number;
        if request.abandoned {
            if !wanted.is_empty() {
                self.give_grant_back(number);
            }
            return Ok(());
        }
        let blocks: Vec<u32> = wanted.iter().map(|place| request.keys[*place]).collect();
        let sums = match request.checksums.is_empty() {
            true => Vec::new(),
            false => wanted
                .iter()
                .map(|place| request.checksums[*place])
                .collect(),
        };
        let Some(segments) = request.segments.clone() else {
            return Err(LaneFailure::Protocol("a grant for no payload"));
        };
        if blocks.is_empty() {
            request.stage = PutStage::Sent;
            return Ok(());
        }
        let mut header = Header::new(Kind::PutData, number);
        header.payload_bytes = blocks.len() as u64 * (segments.block_bytes() as u64 + 4);
        let mut head = Vec::new();
        header.encode(&[], &mut head);
        self.sender.payload(number, head, segments, blocks, sums);
        Ok(())
    }

    fn on_get(&mut self, at: usize, header: &Header, body: &[u8]) -> Result<(), LaneFailure> {
        let request = &self.requests[at];
        let answers = GetAnswer::decode(body, request.ids.len())?;
        let mut blocks = Vec::with_capacity(answers.len());
        let mut results = vec![None; answers.len()];
        let sums = match request.slot {
            Some(_) => answers.iter().map(|answer| answer.crc).collect(),
            None => Vec::new(),
        };
        for (at, answer) in answers.into_iter().enumerate() {
            if answer.status == KeyStatus::Hit {
                blocks.push(Expected { at, answer });
            } else {
                results[at] = Some(answer.status);
            }
        }
        if header.payload_bytes != blocks.len() as u64 * request.block_bytes as u64 {
            return Err(LaneFailure::Protocol(
                "payload that does not match its hits",
            ));
        }
        if request.abandoned {
            let request = self.requests.swap_remove(at);
            self.settle(&request);
            self.check_drain(request.operation, header.payload_bytes)?;
            self.receiver.drain(header.payload_bytes);
            return Ok(());
        }
        let Some(segments) = request.segments.clone() else {
            return Err(LaneFailure::Protocol("payload for no request"));
        };
        let mut request = self.requests.swap_remove(at);
        request.results = results;
        request.sums = sums;
        // Without hits the receiver finishes it at its next step.
        self.receiver.expect(request, segments, blocks);
        Ok(())
    }

    fn on_located(
        &mut self,
        at: usize,
        body: &[u8],
        events: &mut Vec<LaneEvent>,
    ) -> Result<(), LaneFailure> {
        let request = &self.requests[at];
        if self.transport != TransportKind::SharedMemory || request.kind != RequestKind::Get {
            return Err(LaneFailure::Protocol("blocks located on a stream"));
        }
        let located = LocatedAnswer::decode(body, request.ids.len())?;
        let mut blocks = Vec::with_capacity(located.len());
        let mut results = vec![None; located.len()];
        let sums = match request.slot {
            Some(_) => located.iter().map(|block| block.crc).collect(),
            None => Vec::new(),
        };
        for (at, block) in located.into_iter().enumerate() {
            if block.status != KeyStatus::Hit {
                results[at] = Some(block.status);
                continue;
            }
            let view = self
                .views
                .find(block.view, block.offset, request.block_bytes)
                .ok_or(LaneFailure::Protocol("a block outside every view"))?;
            blocks.push(CopyBlock {
                at,
                view,
                offset: block.offset as usize,
                crc: block.crc,
                write_id: block.write_id,
            });
        }
        let mut request = self.requests.swap_remove(at);
        request.results = results;
        request.sums = sums;
        self.settle(&request);
        if !request.abandoned {
            events.push(LaneEvent::Located(Box::new(request), blocks));
        }
        Ok(())
    }
}

fn bitmap_statuses(body: &[u8], keys: usize) -> Result<Vec<Option<KeyStatus>>, LaneFailure> {
    if body.len() != keys.div_ceil(8) {
        return Err(LaneFailure::Protocol("a bitmap of the wrong length"));
    }
    let status = |key| match bitmap_get(body, key) {
        true => Some(KeyStatus::Hit),
        false => Some(KeyStatus::Miss),
    };
    Ok((0..keys).map(status).collect())
}
