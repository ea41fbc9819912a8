//! Late binding: when a node takes longer than it usually does, another is asked as well.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::operation::{OperationKind, Running};
use crate::state::{State, Timer};

/// Share of what striped reads move that may be asked for on top, while nodes answer.
const SPARE_SHARE: f64 = 0.05;
/// What may be saved of it, bytes.
const SPARE_BYTES_MAX: f64 = (64u64 << 20) as f64;
/// A node that has not sent a byte for so many times its patience is as good as gone: what is
/// asked for in its stead is not spared.
const SILENT_PATIENCES: u32 = 2;
/// How often one operation looks for late nodes.
const LOOKS_MAX: u32 = 64;
/// A put that counts as stored waits at least so long for the nodes that have not answered.
const PUT_PATIENCE_MIN: Duration = Duration::from_millis(200);
/// A node that owes a read and has sent nothing for so long is not asked until it greets again.
const STALLED_MIN: Duration = Duration::from_millis(100);

/// A request whose answer is late.
struct Lateness {
    slot: usize,
    keys: Vec<u32>,
    silent: bool,
}

impl State {
    /// When an operation on stripes looks for late nodes next.
    pub(crate) fn watch_late(&mut self, running: &mut Running, now: Instant) {
        let Some(stripes) = &mut running.stripes else {
            return;
        };
        stripes.looks += 1;
        if stripes.looks > LOOKS_MAX {
            return;
        }
        let token = running.shared.token;
        let mut next = now + Duration::from_secs(1);
        for number in &running.lanes {
            let Some(lane) = self.lanes.get(number) else {
                continue;
            };
            let patience = |bytes| self.patience(lane.node, running.kind, bytes);
            for request in lane.requests_of(token) {
                let since = request.asked_at(now);
                let patience = patience(request.payload_bytes());
                let moments = [since + patience, since + patience * SILENT_PATIENCES];
                next = moments
                    .into_iter()
                    .filter(|moment| *moment > now)
                    .fold(next, Instant::min);
            }
        }
        let soonest = now + Duration::from_millis(1);
        let when = next.max(soonest);
        if when < running.deadline {
            running.hedge_at = Some(when);
            self.timers.push(Reverse((when, Timer::Operation(token))));
        }
    }

    fn patience(&self, node: u64, kind: OperationKind, bytes: u64) -> Duration {
        let patience = self
            .peers
            .get(&node)
            .map_or(PUT_PATIENCE_MIN, |peer| peer.pace.patience(bytes));
        match kind {
            OperationKind::Put => (patience * 2).max(PUT_PATIENCE_MIN),
            _ => patience,
        }
    }

    /// Looks for late nodes; what they owe is asked for elsewhere.
    pub(crate) fn look_for_late(&mut self, token: u64, now: Instant) {
        self.catch_up(token);
        let Some(mut running) = self.operations.remove(&token) else {
            return;
        };
        let late = self.late_requests(&running, now);
        let reads = !running.kind.asks_all();
        if reads {
            self.ask_others(&mut running, late);
        } else if running.kind == OperationKind::Put && !late.is_empty() {
            self.end_put_early(&mut running);
        }
        self.watch_late(&mut running, now);
        self.operations.insert(token, running);
        if reads {
            self.strike_stalled(token, now);
        }
        self.finish_if_done(token);
    }

    /// Leaves nodes alone that have been silent for long, over however many calls. When more are
    /// silent than can be done without, it is not they who stand still.
    fn strike_stalled(&mut self, token: u64, now: Instant) {
        let silent = self.silent_nodes(token, now);
        let stripes = self
            .operations
            .get(&token)
            .and_then(|it| it.stripes.as_ref());
        if silent.len() > stripes.map_or(0, |it| it.scheme.parity()) {
            return;
        }
        for (node, silence) in silent {
            let Some(peer) = self.peers.get_mut(&node) else {
                continue;
            };
            let since = *peer.silent_since.get_or_insert(now - silence);
            if now.saturating_duration_since(since) >= STALLED_MIN {
                self.suspect(node, now);
            }
        }
    }

    fn late_requests(&self, running: &Running, now: Instant) -> Vec<Lateness> {
        let token = running.shared.token;
        let mut late = Vec::new();
        for number in &running.lanes {
            let Some(lane) = self.lanes.get(number) else {
                continue;
            };
            for request in lane.requests_of(token) {
                let since = request.asked_at(now);
                let patience = self.patience(lane.node, running.kind, request.payload_bytes());
                let Some(slot) = request.slot else { continue };
                if since + patience > now {
                    continue;
                }
                let heard = lane.received_at.is_some_and(|heard| heard > since);
                late.push(Lateness {
                    slot: usize::from(slot),
                    keys: request.keys.clone(),
                    silent: !heard && since + patience * SILENT_PATIENCES <= now,
                });
            }
        }
        late
    }

    /// Asks for one chunk more of every key that a late node owes one of. What is asked of nodes
    /// beside ones that are just slow has a bound.
    fn ask_others(&mut self, running: &mut Running, late: Vec<Lateness>) {
        let Some(stripes) = &mut running.stripes else {
            return;
        };
        let chunk_bytes = stripes.chunk_bytes() as f64;
        let mut keys = Vec::new();
        for mut lateness in late {
            lateness.keys.retain(|key| {
                !running.keys[*key as usize].decided
                    && stripes.keys[*key as usize].is_expected(lateness.slot)
            });
            let bytes = lateness.keys.len() as f64 * chunk_bytes;
            if lateness.keys.is_empty() || (!lateness.silent && bytes > self.spare_bytes) {
                continue;
            }
            if !lateness.silent {
                self.spare_bytes -= bytes;
            }
            for key in &lateness.keys {
                stripes.keys[*key as usize].note_late(lateness.slot);
            }
            self.counters.hedges += 1;
            self.counters.chunks_spare += lateness.keys.len() as u64;
            keys.append(&mut lateness.keys);
        }
        keys.sort_unstable();
        keys.dedup();
        self.dispatch_chunks(running, &keys);
    }

    /// A striped read has moved so many bytes: a share of them may be asked for on top.
    pub(crate) fn earn_spare(&mut self, bytes: u64) {
        self.spare_bytes = (self.spare_bytes + bytes as f64 * SPARE_SHARE).min(SPARE_BYTES_MAX);
    }
}
