use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_erasure::Scheme;
use holdfast_wire::{BlockId, KeyStatus, SpaceKey};

use crate::lane::{Credential, Lane, LaneFailure};
use crate::map::ClusterMap;
use crate::operation::{KeyState, OperationKind, OperationShared, Running};
use crate::peer::Peer;
use crate::poller::{EventDescriptor, Poller, Readiness};
use crate::random::Random;
use crate::stripe::{Stripes, Touches, stripe_bytes};
use crate::{ClientConfig, ClientError, Segments};

/// Timers below this number are not looked through for stale ones.
const TIMERS_MIN: usize = 1024;

/// One space as this client uses it.
pub(crate) struct Space {
    pub key: SpaceKey,
    pub block_bytes: usize,
    /// Owners that hold a copy, or a chunk, of each block.
    pub copies: usize,
    /// How blocks are cut into chunks, where they are.
    pub scheme: Option<Scheme>,
    pub credential: Credential,
}

/// What fires at a point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// An operation's deadline, or its moment to try elsewhere.
    Operation(u64),
    /// Keys of an operation that were put off.
    Again(u64),
    /// A lane that must have been greeted by then.
    Greeting(u64),
    /// A node that may be tried again.
    Retry(u64),
}

/// Counted since the client was made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub operations: u64,
    pub keys: u64,
    pub keys_served: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub corrupt: u64,
    pub timed_out: u64,
    pub cancelled: u64,
    pub lanes_opened: u64,
    pub lanes_failed: u64,
    pub lanes_cut: u64,
    pub hedges: u64,
    pub reroutes: u64,
    pub keys_asked_again: u64,
    pub copies_mismatched: u64,
    pub chunks_spare: u64,
    pub stripes_computed: u64,
    pub stripes_mixed: u64,
}

/// A call, ready to be started.
pub(crate) struct Call {
    pub kind: OperationKind,
    pub space: u32,
    pub ids: Vec<BlockId>,
    pub segments: Option<Arc<Segments>>,
    pub checksums: Vec<u32>,
    pub stripes: Option<Box<Stripes>>,
    pub argument: u32,
    pub first_position: u32,
    pub deadline: Instant,
    pub notify: bool,
}

/// Everything of a client that its lock guards.
pub(crate) struct State {
    pub config: ClientConfig,
    pub poller: Arc<Poller>,
    pub finished_event: Arc<EventDescriptor>,
    pub random: Random,
    pub map: Option<Arc<ClusterMap>>,
    pub stale: bool,
    pub tenant: Option<Credential>,
    pub spaces: HashMap<u32, Space>,
    pub generation: u64,
    pub peers: HashMap<u64, Peer>,
    pub lanes: HashMap<u64, Box<Lane>>,
    /// Lanes that no node has greeted on yet.
    pub ungreeted: usize,
    pub next_number: u64,
    pub operations: HashMap<u64, Box<Running>>,
    pub bytes_in_flight: u64,
    /// Operations that the background thread drives.
    pub background_operations: usize,
    /// Lanes with something to receive or to send.
    pub ready: VecDeque<u64>,
    /// Lanes that were given something to send.
    pub dirty: Vec<u64>,
    pub broken: Vec<(u64, LaneFailure)>,
    pub timers: BinaryHeap<Reverse<(Instant, Timer)>>,
    /// Batches that wait to be copied out of shared memory.
    pub copy_batches: usize,
    /// Operations with stripes that wait to be computed.
    pub decodes: usize,
    /// Blocks that nodes are to be told of.
    pub touches: Vec<Touches>,
    /// Bytes that striped reads may ask for on top of what they need.
    pub spare_bytes: f64,
    pub completed: Vec<u64>,
    pub counters: Counters,
    pub closed: bool,
    /// A thread waits for the kernel.
    pub driving: bool,
    /// That thread is the background thread.
    pub background_driving: bool,
    /// Threads that wait for their operation while another drives.
    pub waiting: Vec<Arc<OperationShared>>,
    pub driven_at: Instant,
    /// Until when the driver waits at most.
    pub driving_until: Instant,
    pub background: Background,
}

/// What the background thread is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Background {
    /// Not started yet.
    None,
    Awake,
    /// It waits without end until it is told.
    Asleep,
    Ended,
}

impl State {
    /// Starts an operation: everything that can be sent at once is sent.
    pub(crate) fn start(&mut self, call: Call) -> Result<Arc<OperationShared>, ClientError> {
        let Some(space) = self.spaces.get(&call.space) else {
            return Err(ClientError::UnknownSpace(call.space));
        };
        let (block_bytes, copies) = (space.block_bytes, space.copies);
        let keys = call.ids.len();
        let payload_bytes = match (&call.segments, space.scheme) {
            (Some(_), Some(scheme)) => keys as u64 * stripe_bytes(scheme, block_bytes, call.kind),
            (Some(_), None) => keys as u64 * block_bytes as u64,
            (None, _) => 0,
        };
        self.check_room(payload_bytes)?;
        if let Some(segments) = &call.segments {
            segments.acquire()?;
        }
        self.next_number += 1;
        let token = self.next_number;
        let shared = Arc::new(OperationShared::new(token));
        let map = self.map.clone().unwrap_or_else(ClusterMap::empty);
        let hedge_at = self.hedge_at(&call, &map, copies);
        let running = Running {
            shared: Arc::clone(&shared),
            kind: call.kind,
            space: call.space,
            copies,
            block_bytes,
            segments: call.segments,
            checksums: call.checksums,
            argument: match call.kind {
                OperationKind::Put => self.random.write_id(),
                _ => call.argument,
            },
            first_position: call.first_position,
            deadline: call.deadline,
            hedge_at,
            map,
            keys: vec![KeyState::default(); keys],
            statuses: vec![KeyStatus::Miss; keys],
            stats: match call.kind {
                OperationKind::Stat => vec![None; keys],
                _ => Vec::new(),
            },
            put_off: Vec::new(),
            again_set: false,
            tries: 0,
            awaited_epoch: 0,
            undecided: keys,
            lanes: Vec::new(),
            copy_batches: VecDeque::new(),
            stripes: call.stripes,
            decode: None,
            copying: 0,
            ending: None,
            notify: call.notify,
            orphaned: false,
            payload_bytes,
            duplicates: Vec::new(),
            ids: call.ids,
        };
        self.begin(running);
        Ok(shared)
    }

    pub(crate) fn check_room(&self, payload_bytes: u64) -> Result<(), ClientError> {
        let rooms = [
            (
                "operations",
                1,
                self.operations.len() as u64,
                self.config.operations_max as u64,
            ),
            (
                "payload bytes",
                payload_bytes,
                self.bytes_in_flight,
                self.config.bytes_in_flight_max,
            ),
        ];
        for (what, asked, in_flight, limit) in rooms {
            if in_flight + asked > limit {
                return Err(ClientError::InFlight {
                    what,
                    asked,
                    in_flight,
                    limit,
                });
            }
        }
        Ok(())
    }

    /// Half of the time, for reads that have somewhere else to go.
    fn hedge_at(&self, call: &Call, map: &ClusterMap, copies: usize) -> Option<Instant> {
        let elsewhere = copies > 1 || map.has_previous();
        if call.kind.asks_all() || call.stripes.is_some() || !elsewhere {
            return None;
        }
        let now = Instant::now();
        Some(now + call.deadline.saturating_duration_since(now) / 2)
    }

    fn begin(&mut self, mut running: Running) {
        let token = running.shared.token;
        self.counters.operations += 1;
        self.counters.keys += running.ids.len() as u64;
        self.bytes_in_flight += running.payload_bytes;
        self.background_operations += usize::from(running.in_background());
        self.forget_stale_timers();
        let first = running.hedge_at.unwrap_or(running.deadline);
        self.timers.push(Reverse((first, Timer::Operation(token))));
        if running.kind == OperationKind::Put {
            running.set_duplicates_aside();
        }
        self.progress_handshakes();
        let keys: Vec<u32> = (0..running.ids.len() as u32)
            .filter(|key| !running.keys[*key as usize].decided)
            .collect();
        let mut running = Box::new(running);
        self.dispatch(&mut running, keys);
        if running.undecided > 0 {
            self.watch_late(&mut running, Instant::now());
        }
        self.operations.insert(token, running);
        self.finish_if_done(token);
        self.settle();
    }

    /// Looks at the kernel once when a node's greeting may be waiting there, so that a client
    /// whose calls all fail fast still notices that a node is back.
    fn progress_handshakes(&mut self) {
        if self.driving || self.ungreeted == 0 {
            return;
        }
        let mut ready = Vec::new();
        self.poller.clone().poll(0, &mut ready);
        self.apply(&ready);
        while self.work() {}
    }

    /// Notes what the kernel said.
    pub(crate) fn apply(&mut self, ready: &[Readiness]) {
        for readiness in ready {
            let Some(lane) = self.lanes.get_mut(&readiness.token) else {
                continue;
            };
            lane.readable |= readiness.readable;
            lane.writable |= readiness.writable;
            lane.hung_up |= readiness.hung_up;
            if !lane.queued {
                lane.queued = true;
                self.ready.push_back(readiness.token);
            }
        }
    }

    /// Finishes an operation whose keys are all decided and whose memory nobody touches.
    pub(crate) fn finish_if_done(&mut self, token: u64) {
        let Some(running) = self.operations.get(&token) else {
            return;
        };
        if !running.put_off.is_empty() {
            return self.watch_put_off(token);
        }
        if running.undecided > 0 || running.copying > 0 {
            return;
        }
        self.let_chunks_go(token);
        let Some(mut running) = self.operations.remove(&token) else {
            return;
        };
        self.bytes_in_flight -= running.payload_bytes;
        self.background_operations -= usize::from(running.in_background());
        if let Some(segments) = &running.segments {
            segments.release();
        }
        self.count_result(&running);
        self.note_touches(&running);
        let notify = running.notify;
        let result = running.result();
        // Nobody else sets it: the operation has just left the table.
        let _ = running.shared.result.set(result);
        running.shared.changed.notify_all();
        if notify {
            self.completed.push(token);
            self.finished_event.set();
        }
    }

    fn count_result(&mut self, running: &Running) {
        let served = |status: &&KeyStatus| match running.kind {
            OperationKind::Put => **status == KeyStatus::Stored,
            _ => **status == KeyStatus::Hit,
        };
        let served = running.statuses.iter().filter(served).count() as u64;
        let bytes = served * running.block_bytes as u64;
        self.counters.keys_served += served;
        match running.kind {
            OperationKind::Get => {
                self.counters.bytes_read += bytes;
                if running.stripes.is_some() {
                    self.earn_spare(bytes);
                }
            }
            OperationKind::Put => self.counters.bytes_written += bytes,
            _ => {}
        }
    }

    /// Drops timers of operations that have ended, when there are many: most end long before
    /// their deadline.
    fn forget_stale_timers(&mut self) {
        if self.timers.len() < TIMERS_MIN.max(4 * self.operations.len()) {
            return;
        }
        let (operations, lanes) = (&self.operations, &self.lanes);
        self.timers.retain(|Reverse((_, timer))| match timer {
            Timer::Operation(token) | Timer::Again(token) => operations.contains_key(token),
            Timer::Greeting(number) => lanes.get(number).is_some_and(|lane| !lane.ready()),
            Timer::Retry(_) => true,
        });
    }

    /// When the next timer fires.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((when, _))| *when)
    }

    /// Whether anything is left to do although nobody may wait for it: operations, nodes to be
    /// tried again, and what ended calls owe to nodes, as room that they have granted.
    pub(crate) fn has_work_left(&self, now: Instant) -> bool {
        !self.operations.is_empty()
            || self.has_probes()
            || self.lanes.values().any(|lane| lane.has_loose_ends(now))
    }

    /// Whether nodes wait to be tried again.
    pub(crate) fn has_probes(&self) -> bool {
        self.peers
            .values()
            .any(|peer| peer.entry.up && peer.health != crate::peer::Health::Good)
    }

    /// How long a driver polls before it blocks.
    pub(crate) fn spin(&self) -> Duration {
        Duration::from_micros(u64::from(self.config.spin_us))
    }
}

impl Running {
    /// Duplicates in one put are not sent: they share the first one's result.
    fn set_duplicates_aside(&mut self) {
        if self.ids.len() < 2 {
            return;
        }
        let mut first: HashMap<BlockId, u32> = HashMap::with_capacity(self.ids.len());
        for place in 0..self.ids.len() as u32 {
            let known = *first.entry(self.ids[place as usize]).or_insert(place);
            if known != place {
                self.duplicates.push((place, known));
                self.decide(place, KeyStatus::Unknown);
            }
        }
    }
}
