//! Keys of puts and deletes that are put off and asked for once more: an owner declined them
//! because it serves by another cluster map than the operation, or says that a put is busy which
//! this client has cut off itself.
//!
//! A node with an older map catches up within milliseconds: it is asked again after a pause that
//! grows with every try. A node with a newer map says that this client's is out of date: the key
//! waits for that map and goes to the owners which it names. The write id stays the same, so that
//! a copy which was stored meanwhile is found present. What is put off when time is over ends as
//! it stands, as not owner if no copy was stored.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_wire::KeyStatus;

use crate::operation::Running;
use crate::request::Request;
use crate::state::{State, Timer};

/// Pause before the first further try, milliseconds; it doubles with every one.
const PAUSE_MS_MIN: u64 = 2;
/// How often it doubles: up to 128 ms, so that a node which stays behind is not kept busy.
const PAUSE_DOUBLINGS_MAX: u32 = 6;
/// Tries, about a second in all, after which a put that this client has cut off is busy with
/// somebody else's, and nodes that do not greet are down.
const BUSY_TRIES_MAX: u32 = 12;

impl State {
    /// Sees to it that what an operation has put off is asked for again. Keys that wait for a
    /// newer map need no timer: the map's coming is what wakes them.
    pub(crate) fn watch_put_off(&mut self, token: u64) {
        let epoch = self.epoch();
        let Some(running) = self.operations.get_mut(&token) else {
            return;
        };
        let due = |key: &u32| running.may_ask_again(*key, epoch);
        if running.again_set || !running.put_off.iter().any(due) {
            return;
        }
        running.again_set = true;
        let pause_ms = PAUSE_MS_MIN << running.tries.min(PAUSE_DOUBLINGS_MAX);
        running.tries += 1;
        let when = Instant::now() + Duration::from_millis(self.random.jitter(pause_ms));
        self.timers.push(Reverse((when, Timer::Again(token))));
        if self.driving && when < self.driving_until {
            self.poller.wake();
        }
    }

    /// Asks for what was put off and need not wait any longer, by the newest map.
    pub(crate) fn ask_again(&mut self, token: u64) {
        let Some(mut running) = self.operations.remove(&token) else {
            return;
        };
        running.again_set = false;
        if let Some(map) = &self.map
            && map.epoch > running.map.epoch
        {
            running.map = Arc::clone(map);
            self.counters.reroutes += 1;
        }
        let epoch = self.epoch();
        let put_off = std::mem::take(&mut running.put_off);
        let (again, kept) = put_off
            .into_iter()
            .partition(|key| running.may_ask_again(*key, epoch));
        running.put_off = kept;
        self.counters.keys_asked_again += Vec::len(&again) as u64;
        for key in &again {
            running.start_over(*key);
        }
        self.dispatch(&mut running, again);
        self.operations.insert(token, running);
        self.finish_if_done(token);
    }

    /// A newer map is here: it may be what some keys wait for.
    pub(crate) fn ask_again_by_map(&mut self) {
        let waiting = |running: &Running| !running.put_off.is_empty();
        let tokens: Vec<u64> = self
            .operations
            .iter()
            .filter(|(_, running)| waiting(running))
            .map(|(token, _)| *token)
            .collect();
        for token in tokens {
            self.ask_again(token);
        }
    }

    /// Whether a map names too few owners for a scheme: it is older than the space, and its keys
    /// wait for a newer one.
    pub(crate) fn awaits_wider_map(&mut self, running: &mut Running, keys: &[u32]) -> bool {
        let shards = running.stripes.as_ref().map_or(0, |it| it.scheme.shards());
        if let Some(map) = &self.map
            && map.width > running.map.width
        {
            running.map = Arc::clone(map);
        }
        if running.map.width >= shards {
            return false;
        }
        self.stale = true;
        running.awaited_epoch = running.map.epoch + 1;
        for key in keys {
            let state = &mut running.keys[*key as usize];
            state.seen.add(KeyStatus::NotOwner);
            state.awaits_map = true;
            running.put_off.push(*key);
        }
        true
    }

    fn epoch(&self) -> u64 {
        self.map.as_ref().map_or(0, |map| map.epoch)
    }
}

impl Running {
    /// Notes that a node said of a key that it does not own it, where that may be cured.
    pub(crate) fn note_not_owner(&mut self, node: u64, key: u32, request: &Request) {
        let (asked, answered) = (request.map_epoch, request.answered_epoch);
        let id = self.ids[key as usize];
        if asked == answered
            // A previous owner, told of a delete for what it may still hold.
            || (asked == self.map.epoch && !self.map.is_owner(&id, self.copies, node))
        {
            return;
        }
        let state = &mut self.keys[key as usize];
        state.declined = true;
        if answered > asked {
            state.awaits_map = true;
            self.awaited_epoch = self.awaited_epoch.max(answered);
        }
    }

    /// Whether a key with all its answers is to be asked for once more.
    pub(crate) fn puts_off(&self, key: u32, merged: KeyStatus) -> bool {
        use KeyStatus::{Busy, Hit, Miss, NotOwner, Present, Stored, Unreachable};
        let state = &self.keys[key as usize];
        let again = match merged {
            // Busy with its own put, most likely: the node has not seen the old lane's end yet.
            Busy => state.cut && self.tries < BUSY_TRIES_MAX,
            // Enough of several nodes may greet in a moment.
            Unreachable if state.cut => self.tries < BUSY_TRIES_MAX,
            Hit | Miss | NotOwner | Present | Stored | Unreachable => state.declined,
            // Anything graver stays what it is, whatever one more copy would say.
            _ => false,
        };
        again && self.ending.is_none()
    }

    /// Decides what is put off by the answers that are there.
    pub(crate) fn decide_put_off(&mut self) {
        for key in std::mem::take(&mut self.put_off) {
            let merged = self.merged(key);
            self.decide(key, merged);
        }
    }

    fn may_ask_again(&self, key: u32, epoch: u64) -> bool {
        !self.keys[key as usize].awaits_map || epoch >= self.awaited_epoch
    }

    /// Every owner is asked once more; what was stored or removed already counts.
    fn start_over(&mut self, key: u32) {
        let state = &mut self.keys[key as usize];
        state.seen = state.seen.done();
        state.declined = false;
        state.awaits_map = false;
        if let Some(stripes) = &mut self.stripes {
            stripes.keys[key as usize].start_over();
            state.cut = false;
        }
    }
}
