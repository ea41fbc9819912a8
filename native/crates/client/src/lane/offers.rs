use std::collections::HashMap;
use std::sync::{Arc, Weak};

use holdfast_wire::limits::{DEADLINE_MS_MAX, PIECES_PER_REQUEST_MAX, REGIONS_PER_CONNECTION_MAX};
use holdfast_wire::{Header, Kind, RegionOffer, TransportKind};

use super::{Lane, LaneContext};
use crate::Region;
use crate::request::{Request, RequestKind};

/// Regions of this process that the node of one lane may read.
#[derive(Default)]
pub(crate) struct Offers {
    regions: HashMap<u64, Offer>,
    number: u32,
    /// The node took none of them: payload is streamed instead.
    refused: bool,
}

struct Offer {
    number: u32,
    region: Weak<Region>,
    accepted: bool,
}

impl Offers {
    /// The number of an offered region on its lane; 0 (never given) for one that is not.
    pub(crate) fn number(&self, region: u64) -> u32 {
        self.regions.get(&region).map_or(0, |offer| offer.number)
    }

    /// What the node said to the offer of that number.
    pub(crate) fn answered(&mut self, number: u32, accepted: bool) {
        self.refused |= !accepted;
        for offer in self.regions.values_mut() {
            if offer.number == number {
                offer.accepted = accepted;
            }
        }
        self.regions
            .retain(|_, offer| accepted || offer.number != number);
    }

    /// Numbers of regions that are gone, which it forgets.
    fn take_closed(&mut self) -> Vec<u32> {
        let closed = |offer: &Offer| offer.region.upgrade().is_none_or(|region| region.closing());
        let numbers = self
            .regions
            .values()
            .filter(|offer| offer.accepted && closed(offer))
            .map(|offer| offer.number)
            .collect();
        self.regions
            .retain(|_, offer| !offer.accepted || !closed(offer));
        numbers
    }
}

impl Lane {
    /// Whether a put can name its memory instead of streaming it: over shared memory, from
    /// regions with memory files, checksummed already.
    pub(super) fn wants_offer(&self, request: &Request) -> bool {
        if self.transport != TransportKind::SharedMemory || self.offers.refused {
            return false;
        }
        let Some(segments) = &request.segments else {
            return false;
        };
        let runs: usize = segments.planes().iter().map(|plane| plane.runs).sum();
        request.checksums.len() == request.ids.len()
            && runs * request.ids.len() <= PIECES_PER_REQUEST_MAX as usize
            && segments
                .planes()
                .iter()
                .all(|plane| plane.region.file().is_some())
    }

    /// As [`Lane::wants_offer`], with every region accepted.
    pub(super) fn sends_offered(&self, request: &Request) -> bool {
        let Some(segments) = &request.segments else {
            return false;
        };
        self.wants_offer(request)
            && segments.planes().iter().all(|plane| {
                self.offers
                    .regions
                    .get(&plane.region.number())
                    .is_some_and(|offer| offer.accepted)
            })
    }

    /// Offers the regions of the put that waits first. True when it can go: all are answered.
    pub(super) fn offer_regions(&mut self, context: &LaneContext<'_>) -> bool {
        let Some(segments) = self
            .waiting
            .front()
            .and_then(|request| request.segments.clone())
        else {
            return true;
        };
        let mut answered = true;
        for plane in segments.planes() {
            match self.offers.regions.get(&plane.region.number()) {
                Some(offer) => answered &= offer.accepted,
                None => answered &= !self.offer(&plane.region, context),
            }
        }
        answered
    }

    /// Sends one offer; false when there is no room for more.
    fn offer(&mut self, region: &Arc<Region>, context: &LaneContext<'_>) -> bool {
        for number in self.offers.take_closed() {
            self.send_region(RequestKind::Withdraw, number, 0, None, context);
        }
        if self.offers.regions.len() >= REGIONS_PER_CONNECTION_MAX {
            self.offers.refused = true;
            return false;
        }
        self.offers.number += 1;
        let number = self.offers.number;
        self.offers.regions.insert(
            region.number(),
            Offer {
                number,
                region: Arc::downgrade(region),
                accepted: false,
            },
        );
        let begin = region.file().map_or(0, |(_, begin)| begin);
        let bytes = begin + region.nbytes() as u64;
        self.send_region(RequestKind::Offer, number, bytes, Some(region), context);
        true
    }

    fn send_region(
        &mut self,
        kind: RequestKind,
        number: u32,
        bytes: u64,
        region: Option<&Arc<Region>>,
        context: &LaneContext<'_>,
    ) {
        let mut body = Vec::new();
        RegionOffer {
            region: number,
            bytes,
        }
        .encode(&mut body);
        let mut request = Request::own(kind, 0, context.now);
        request.argument = number;
        request.sent_at = Some(context.now);
        request.number = self.next_number();
        let frame = match kind {
            RequestKind::Offer => Kind::Offer,
            _ => Kind::Withdraw,
        };
        let mut header = Header::new(frame, request.number);
        header.deadline_ms = DEADLINE_MS_MAX;
        header.epoch = context.epoch;
        match region {
            Some(region) => {
                let mut bytes = Vec::new();
                header.encode(&body, &mut bytes);
                self.sender.offer(bytes, Arc::clone(region));
            }
            None => header.encode(&body, self.sender.frames()),
        }
        self.requests.push(request);
    }
}
