//! Which node is asked for which key, and on which lane.

use std::sync::Arc;
use std::time::Instant;

use holdfast_wire::limits::KEYS_PER_REQUEST_MAX;
use holdfast_wire::{KeyStatus, TransportKind};

use crate::operation::{OperationKind, Running};
use crate::request::{PutStage, Request, RequestKind};
use crate::state::State;

/// Payload of one request, bytes: what one lane carries before another operation gets its turn.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Keys by the node to be asked.
#[derive(Default)]
struct Groups {
    nodes: Vec<(u64, Vec<u32>)>,
    last: usize,
}

/// The node that was found usable last: most keys of a batch go where the one before went.
#[derive(Default)]
struct UsableNode(Option<u64>);

impl Groups {
    fn push(&mut self, node: u64, key: u32, room: usize) {
        let known = match self.nodes.get(self.last) {
            Some((last, _)) if *last == node => Some(self.last),
            _ => self.nodes.iter().position(|(other, _)| *other == node),
        };
        self.last = known.unwrap_or_else(|| {
            self.nodes.push((node, Vec::with_capacity(room)));
            self.nodes.len() - 1
        });
        self.nodes[self.last].1.push(key);
    }
}

impl State {
    /// Sends the keys to whom they are to be asked of next. Keys for which nobody is left are
    /// decided.
    pub(crate) fn dispatch(&mut self, running: &mut Running, keys: Vec<u32>) {
        if keys.is_empty() {
            return;
        }
        if self.awaits_wider_map(running, &keys) {
            return;
        }
        match (&running.stripes, running.kind) {
            (Some(_), OperationKind::Put | OperationKind::Pin) => {
                return self.dispatch_to_owners(running, &keys);
            }
            (Some(_), _) => return self.dispatch_chunks(running, &keys),
            (None, _) => {}
        }
        let groups = if running.kind.asks_all() {
            self.group_for_all(running, &keys)
        } else {
            self.group_for_next(running, &keys)
        };
        for (node, keys) in groups.nodes {
            self.request_keys(running, node, keys);
        }
    }

    fn group_for_all(&mut self, running: &mut Running, keys: &[u32]) -> Groups {
        let mut groups = Groups::default();
        let map = Arc::clone(&running.map);
        let copies = running.copies;
        let limit = match running.kind {
            OperationKind::Put => copies.min(map.width),
            _ => usize::MAX,
        };
        for key in keys {
            let id = running.ids[*key as usize];
            for ordinal in 0..limit {
                let Some(candidate) = map.candidate(&id, copies, ordinal) else {
                    break;
                };
                let Some(node) = candidate else {
                    continue;
                };
                if self.usable(node) {
                    running.keys[*key as usize].open += 1;
                    groups.push(node, *key, keys.len());
                } else {
                    running.keys[*key as usize].seen.add(KeyStatus::Unreachable);
                }
            }
            if running.keys[*key as usize].open == 0 {
                let merged = running.merged(*key);
                running.decide(*key, merged);
            }
        }
        groups
    }

    fn group_for_next(&mut self, running: &mut Running, keys: &[u32]) -> Groups {
        let mut groups = Groups::default();
        let mut usable = UsableNode::default();
        for key in keys {
            match self.next_node(running, *key, &mut usable) {
                Some(node) => groups.push(node, *key, keys.len()),
                None => {
                    let merged = running.merged(*key);
                    running.decide(*key, merged);
                }
            }
        }
        groups
    }

    /// The next usable candidate of a key. When all were asked and one of them pointed to a
    /// newer map which has arrived meanwhile, the key starts over with that map.
    fn next_node(
        &mut self,
        running: &mut Running,
        key: u32,
        usable: &mut UsableNode,
    ) -> Option<u64> {
        let id = running.ids[key as usize];
        loop {
            let ordinal = running.keys[key as usize].next;
            match running
                .map
                .candidate(&id, running.copies, usize::from(ordinal))
            {
                Some(candidate) => {
                    running.keys[key as usize].next = ordinal.saturating_add(1);
                    match candidate {
                        Some(node) if usable.0 == Some(node) => return Some(node),
                        Some(node) if self.usable(node) => {
                            usable.0 = Some(node);
                            return Some(node);
                        }
                        Some(_) => running.keys[key as usize].seen.add(KeyStatus::Unreachable),
                        None => {}
                    }
                }
                None => {
                    if running.merged(key) != KeyStatus::NotOwner || !self.adopt_map(running) {
                        return None;
                    }
                }
            }
        }
    }

    /// Takes the newest map over for an operation; false when it has that already.
    pub(crate) fn adopt_map(&mut self, running: &mut Running) -> bool {
        let Some(map) = &self.map else {
            return false;
        };
        if map.epoch <= running.map.epoch {
            return false;
        }
        running.map = Arc::clone(map);
        self.counters.reroutes += 1;
        for state in &mut running.keys {
            state.next = 0;
            state.seen = Default::default();
        }
        true
    }

    pub(crate) fn usable(&self, node: u64) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.usable())
    }

    /// Splits a node's keys into requests of bounded size and hands them to lanes.
    pub(crate) fn request_keys(&mut self, running: &mut Running, node: u64, keys: Vec<u32>) {
        let most = keys_per_request(running.segments.is_some(), running.block_bytes);
        if keys.len() <= most {
            let request = running.request(None, keys);
            self.hand_to_lane(running, node, request);
            return;
        }
        for part in keys.chunks(most) {
            let request = running.request(None, part.to_vec());
            self.hand_to_lane(running, node, request);
        }
    }

    /// The same for the chunks of one slot.
    pub(crate) fn request_chunks(
        &mut self,
        running: &mut Running,
        node: u64,
        slot: usize,
        keys: &[u32],
    ) {
        let chunk_bytes = running.stripes.as_ref().map_or(1, |it| it.chunk_bytes());
        let most = keys_per_request(running.segments.is_some(), chunk_bytes);
        for part in keys.chunks(most) {
            let request = running.request(Some(slot as u8), part.to_vec());
            self.hand_to_lane(running, node, request);
        }
    }

    pub(crate) fn hand_to_lane(&mut self, running: &mut Running, node: u64, mut request: Request) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.counters.requests += 1;
            peer.counters.keys += request.keys.len() as u64;
        }
        let now = Instant::now();
        request.queued_at = Some(now);
        let is_known = !request.checksums.is_empty() && request.slot.is_none();
        let streams = request.kind == RequestKind::Put && !is_known;
        let Some(number) = self.choose_lane(node, streams, now) else {
            self.give_up(running, node, &request);
            return;
        };
        let Some(lane) = self.lanes.get_mut(&number) else {
            return;
        };
        lane.submit(request);
        if !running.lanes.contains(&number) {
            running.lanes.push(number);
        }
        self.dirty.push(number);
    }

    /// The lane of a node with the least payload before it, the first of equals. A further one is
    /// opened when all carry some, so that small requests do not wait behind a whole payload;
    /// over shared memory only for what must be streamed.
    fn choose_lane(&mut self, node: u64, streams: bool, now: Instant) -> Option<u64> {
        let peer = self.peers.get(&node)?;
        let mut best: Option<(u64, u64)> = None;
        let mut unopened = None;
        for (place, lane) in peer.lanes.iter().enumerate() {
            match lane.and_then(|number| Some((number, self.lanes.get(&number)?))) {
                Some((number, lane)) => {
                    let shared = lane.transport == TransportKind::SharedMemory;
                    let load = if shared && !streams {
                        0
                    } else {
                        lane.outstanding_bytes
                    };
                    if best.is_none_or(|(_, least)| load < least) {
                        best = Some((number, load));
                    }
                }
                None => {
                    unopened.get_or_insert(place);
                }
            }
        }
        match (best, unopened) {
            (Some((number, 0)), _) | (Some((number, _)), None) => Some(number),
            (Some((number, _)), Some(place)) => self.open_lane(node, place, now).or(Some(number)),
            (None, Some(place)) => self.open_lane(node, place, now),
            (None, None) => None,
        }
    }

    /// No connection to a node can be made: its keys are asked for elsewhere.
    fn give_up(&mut self, running: &mut Running, node: u64, request: &Request) {
        let mut further = Vec::new();
        for at in 0..request.keys.len() {
            let asked = (node, request);
            self.record(running, asked, at, KeyStatus::Unreachable, &mut further);
        }
        self.dispatch(running, further);
    }
}

/// Keys of one request whose blocks have so many bytes, if it moves any.
fn keys_per_request(moves: bool, block_bytes: usize) -> usize {
    let most = KEYS_PER_REQUEST_MAX as usize;
    match moves {
        true => most.min((REQUEST_BYTES_MAX / block_bytes).max(1)),
        false => most,
    }
}

impl Running {
    /// A request for some of its keys, or for their chunks in a slot.
    pub(crate) fn request(&self, slot: Option<u8>, keys: Vec<u32>) -> Request {
        let stripes = self.stripes.as_ref();
        let chunks = slot.and_then(|slot| {
            let memory = stripes?.memory.as_ref()?;
            Some(Arc::clone(memory.chunks(usize::from(slot))))
        });
        let block_bytes = match (slot, stripes) {
            (Some(_), Some(stripes)) => stripes.chunk_bytes(),
            _ => self.block_bytes,
        };
        let ids = keys.iter().map(|key| self.ids[*key as usize]).collect();
        let sums_at = slot.map_or(0, |slot| usize::from(slot) * self.ids.len());
        let checksums = match self.checksums.is_empty() {
            true => Vec::new(),
            false => keys
                .iter()
                .map(|key| self.checksums[sums_at + *key as usize])
                .collect(),
        };
        Request {
            number: 0,
            operation: self.shared.token,
            kind: self.kind.request(),
            space: self.space,
            argument: self.argument,
            results: Vec::new(),
            stats: Vec::new(),
            corrupt: Vec::new(),
            keys,
            ids,
            first_position: self.first_position,
            block_bytes,
            segments: chunks.or_else(|| self.segments.clone()),
            slot,
            sums: Vec::new(),
            checksums,
            map_epoch: self.map.epoch,
            answered_epoch: 0,
            deadline: self.deadline,
            queued_at: None,
            sent_at: None,
            stage: PutStage::Asked,
            abandoned: false,
            second_look: false,
            retried: false,
        }
    }
}
