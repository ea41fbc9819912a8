//! What happens when time is over: deadlines, silent nodes, greetings, further tries.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use holdfast_wire::KeyStatus;

use crate::lane::{Lane, LaneFailure};
use crate::operation::{OperationKind, Running};
use crate::peer::Health;
use crate::state::{State, Timer};

/// A node is not given up before it has been silent for this long, over however many calls.
const SILENCE_MIN: Duration = Duration::from_millis(50);
/// Slices that are read of one lane before its node is judged: more than the kernel holds.
const CATCH_UP_SLICES: usize = 64;

impl State {
    /// Fires every timer that is due. True when any was.
    pub(crate) fn fire_timers(&mut self, now: Instant) -> bool {
        let mut fired = false;
        while let Some(Reverse((when, timer))) = self.timers.peek().copied() {
            if when > now {
                break;
            }
            self.timers.pop();
            fired = true;
            match timer {
                Timer::Operation(token) => self.operation_due(token, now),
                Timer::Again(token) => self.ask_again(token),
                Timer::Greeting(number) => {
                    if self.lanes.get(&number).is_some_and(|lane| !lane.ready()) {
                        let within = self.config.connect_timeout_ms;
                        self.broken.push((number, LaneFailure::Greeting(within)));
                    }
                }
                Timer::Retry(node) => self.try_again(node, now),
            }
            self.settle();
        }
        fired
    }

    fn operation_due(&mut self, token: u64, now: Instant) {
        let Some(running) = self.operations.get_mut(&token) else {
            return;
        };
        if now < running.deadline {
            let deadline = running.deadline;
            let hedge = running
                .hedge_at
                .take()
                .is_some_and(|hedge_at| hedge_at <= now);
            self.timers
                .push(Reverse((deadline, Timer::Operation(token))));
            if hedge {
                self.hedge(token, now);
            }
            return;
        }
        self.catch_up(token);
        if !self.operations.contains_key(&token) {
            return;
        }
        self.counters.timed_out += 1;
        let silent = self.silent_nodes(token, now);
        self.end(token, KeyStatus::TimedOut);
        for node in silent {
            self.strike(node, now);
        }
    }

    /// Takes in what lies in the kernel for an operation: its answer may be there, and a node does
    /// not look silent because this client was busy elsewhere or waits for a low-water mark.
    pub(crate) fn catch_up(&mut self, token: u64) {
        let lanes = self.operations.get(&token).map(|it| it.lanes.clone());
        for number in lanes.unwrap_or_default() {
            if let Some(lane) = self.lanes.get_mut(&number) {
                lane.readable = true;
            }
            for _ in 0..CATCH_UP_SLICES {
                let readable = |lane: &Lane| lane.readable && lane.expects_input();
                if !self.lanes.get(&number).is_some_and(|lane| readable(lane)) {
                    break;
                }
                self.work_on(number);
            }
        }
    }

    /// Nodes that owe the operation an answer and have sent nothing since they were asked, with
    /// how long that is.
    pub(crate) fn silent_nodes(&self, token: u64, now: Instant) -> Vec<(u64, Duration)> {
        let Some(running) = self.operations.get(&token) else {
            return Vec::new();
        };
        let mut silent: Vec<(u64, Duration)> = Vec::new();
        for number in &running.lanes {
            let Some(lane) = self.lanes.get(number) else {
                continue;
            };
            let Some(asked_at) = lane.asked_at(token) else {
                continue;
            };
            let heard_at = self.heard_at(lane.node);
            // Mid-payload silence counts from the last byte, silence before from the request.
            let since = heard_at.map_or(asked_at, |heard_at| heard_at.max(asked_at));
            let silence = now.saturating_duration_since(since);
            let whole = now.saturating_duration_since(asked_at);
            let dead = heard_at.is_none_or(|heard_at| heard_at <= asked_at) || silence * 2 > whole;
            if dead && silent.iter().all(|(node, _)| *node != lane.node) {
                silent.push((lane.node, silence));
            }
        }
        silent
    }

    /// When the node was heard of last, on any of its lanes.
    fn heard_at(&self, node: u64) -> Option<Instant> {
        let lanes = self.peers.get(&node)?.lanes.iter().flatten();
        lanes
            .filter_map(|number| self.lanes.get(number)?.received_at)
            .max()
    }

    fn strike(&mut self, (node, silence): (u64, Duration), now: Instant) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let since = *peer.silent_since.get_or_insert(now - silence);
        if now.saturating_duration_since(since) >= SILENCE_MIN {
            self.suspect(node, now);
        }
    }

    /// Half of a read's time is over: what silent nodes owe is asked for elsewhere, where every
    /// key has somewhere else to go.
    fn hedge(&mut self, token: u64, now: Instant) {
        let striped = |running: &Running| running.stripes.is_some();
        if self
            .operations
            .get(&token)
            .is_some_and(|running| striped(running))
        {
            return self.look_for_late(token, now);
        }
        self.catch_up(token);
        for (node, silence) in self.silent_nodes(token, now) {
            let Some(running) = self.operations.get(&token) else {
                return;
            };
            let lanes: Vec<u64> = running
                .lanes
                .iter()
                .copied()
                .filter(|number| {
                    self.lanes.get(number).is_some_and(|lane| {
                        lane.node == node && lane.every_key(token, |key| running.has_more(key))
                    })
                })
                .collect();
            if lanes.is_empty() {
                continue;
            }
            self.counters.hedges += 1;
            for (node, mut request) in self.cut_loose(token, &lanes) {
                request.fill(KeyStatus::TimedOut);
                self.absorb(node, request);
            }
            self.strike((node, silence), now);
        }
    }

    /// Tries a failed node once: it is asked again as soon as it greets.
    fn try_again(&mut self, node: u64, now: Instant) {
        let Some(peer) = self.peers.get_mut(&node) else {
            return;
        };
        let Health::Bad { retry_at } = peer.health else {
            return;
        };
        if retry_at > now || !peer.entry.up || self.closed {
            return;
        }
        peer.health = Health::Trying;
        if let Some(number) = peer.lanes[0] {
            for request in self.drop_lane(number, &LaneFailure::Replaced) {
                self.on_broken(node, request, &LaneFailure::Replaced, false);
            }
        }
        self.open_lane(node, 0, now);
    }
}

impl Running {
    /// Whether a key can still be asked for elsewhere.
    fn has_more(&self, key: u32) -> bool {
        let id = self.ids[key as usize];
        let first = usize::from(self.keys[key as usize].next);
        self.kind != OperationKind::Put
            && (first..)
                .map_while(|ordinal| self.map.candidate(&id, self.copies, ordinal))
                .any(|candidate| candidate.is_some())
    }
}
