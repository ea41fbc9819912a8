//! The log: what one thread does with the disk. Takes what the state has queued, makes operations
//! of it, and changes the state as they complete.

mod batch_memory;
mod build;
mod complete;
mod flights;
mod reads;
mod reclaim;
mod sync;
mod writer;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::disk::{Action, Completion, Disk, Operation};
use crate::failures::{AppendFailure, ReadFailure};
use crate::layout::{Geometry, SegmentKind, StoreId};
use crate::random::random_number;
use crate::state::{Ended, Health, Payload, State};
use crate::types::{ReadDone, ReadEnd};
use flights::{Flight, Flights};
pub(crate) use reads::{check_room, end as read_end};
pub(crate) use reclaim::FOOTER_READ_PAGES;
use reclaim::Reclaim;
use writer::{Stage, Writer};

/// Writes that may fail one after another before the disk is given up.
const WRITE_ERRORS_MAX: u32 = 3;

/// What the store and its thread share.
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
}

/// The part of a store that owns the disk.
pub struct Log {
    // First, so that it is dropped first: then no operation uses any memory below.
    disk: Box<dyn Disk>,
    shared: Arc<Shared>,
    geometry: Geometry,
    store: StoreId,
    /// Random at first, and one more with each segment that is opened.
    salt: u64,
    /// Operations that the disk had no room for.
    operations: VecDeque<Operation>,
    flights: Flights,
    /// Batches (segment, number) whose memory is not put together yet.
    unloaded: Vec<(u32, u32)>,
    /// Segments that are written to, oldest first; at most one of a kind takes more batches.
    writers: Vec<Writer>,
    reclaim: Option<Reclaim>,
    /// Pages of cache blocks that may be written anew.
    moves_saved_pages: u64,
    /// Segments whose head was zeroed, which the next sync frees.
    wiped: Vec<u32>,
    /// Durable segments cannot be cleaned until one is freed: there is nowhere to move to.
    cleaning_hopeless: bool,
    sync_flying: bool,
    reads_flying: u32,
    write_errors: u32,
    completions: Vec<Completion>,
    /// Written payloads, let go of once the lock is free.
    let_go: Vec<Payload>,
    /// Told once the lock is free.
    ended: Ended,
    reads_ended: Vec<(ReadDone, ReadEnd)>,
}

impl Log {
    /// A log that goes on from this state.
    pub(crate) fn new(disk: Box<dyn Disk>, shared: Arc<Shared>) -> Self {
        let (geometry, store) = {
            let state = shared.state.lock();
            (state.geometry, state.store)
        };
        Self {
            disk,
            shared,
            geometry,
            store,
            salt: random_number(),
            operations: VecDeque::new(),
            flights: Flights::default(),
            unloaded: Vec::new(),
            writers: Vec::new(),
            reclaim: None,
            moves_saved_pages: 0,
            wiped: Vec::new(),
            cleaning_hopeless: false,
            sync_flying: false,
            reads_flying: 0,
            write_errors: 0,
            completions: Vec::new(),
            let_go: Vec::new(),
            ended: Ended::new(),
            reads_ended: Vec::new(),
        }
    }

    /// Whether something is under way, or a turn would begin something.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let state = self.shared.state.lock();
        let closing = state.stopping && state.health == Health::Serving;
        !self.flights.is_empty()
            || self.reclaim.is_some()
            || !self.wiped.is_empty()
            || self.writers.iter().any(Writer::is_busy)
            || (closing && !self.writers.is_empty())
            || !state.reads.is_empty()
            || state.queues.iter().any(|queue| !queue.is_empty())
    }

    /// Whether the store is being closed.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.state.lock().stopping
    }

    /// Begins what can begin, waits for something to end, at most `timeout`, and ends it. False
    /// once the store was closed and nothing is left to do.
    pub fn turn(&mut self, timeout: Duration) -> bool {
        let stopping = self.begin();
        if self.disk.submit(&mut self.operations).is_err() {
            self.give_up();
            return false;
        }
        self.tell();
        if stopping && !self.is_busy() {
            return false;
        }
        // With nothing under way, whatever else there is to do can be done at once.
        let idle = self.flights.is_empty() && self.is_busy();
        let timeout = if idle { Duration::ZERO } else { timeout };
        let mut completions = std::mem::take(&mut self.completions);
        if self.disk.wait(timeout, &mut completions).is_err() {
            self.give_up();
            return false;
        }
        for completion in completions.drain(..) {
            self.complete(completion);
        }
        self.completions = completions;
        self.tell();
        true
    }

    /// Begins what can begin; whether the store is being closed.
    fn begin(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        self.begin_reads(&mut state);
        if state.health == Health::Failed {
            self.refuse_all(&mut state);
            return state.stopping;
        }
        self.step_reclaim(&mut state);
        self.build(&mut state, SegmentKind::Durable);
        self.build(&mut state, SegmentKind::Cache);
        if state.stopping && state.queues.iter().all(|queue| queue.is_empty()) {
            self.close_writers();
        }
        self.begin_sync(&mut state);
        let (stopping, closed_at) = (state.stopping, state.now / 1000);
        drop(state);
        self.load_batches();
        self.begin_footers(closed_at);
        stopping
    }

    /// Segments that are written to get their footers.
    fn close_writers(&mut self) {
        for writer in &mut self.writers {
            if writer.stage == Stage::Open {
                writer.stage = Stage::Closing;
            }
        }
    }

    /// Ends what waits to be written by a store that writes nothing any more.
    fn refuse_all(&mut self, state: &mut State) {
        for kind in [SegmentKind::Cache, SegmentKind::Durable] {
            state.fail_queued(kind, AppendFailure::Failed, &mut self.ended);
        }
    }

    /// Hands an operation to the disk.
    fn fly(&mut self, flight: Flight, action: Action) {
        let token = self.flights.add(flight);
        // SAFETY: the memory belongs to the flight, or to the batch or the read that it names;
        // these are kept until the operation has completed, and the disk is dropped before them.
        self.operations
            .push_back(unsafe { Operation::new(token, action) });
    }

    /// Calls whoever waits for an end, outside of the lock.
    fn tell(&mut self) {
        self.let_go.clear();
        for (end, result) in self.ended.drain(..) {
            end.tell(result);
        }
        for (done, end) in self.reads_ended.drain(..) {
            done(end);
        }
    }

    /// The disk as a whole does not work: nothing more can be read or written.
    fn give_up(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        state.stopping = true;
        if state.health == Health::Serving {
            self.fail_store(&mut state);
        }
        self.refuse_all(&mut state);
        drop(state);
        self.tell();
    }

    /// Ends everything that is left: the log does nothing any more.
    pub fn abandon(mut self) {
        self.give_up();
        let Self {
            disk,
            shared,
            flights,
            writers,
            mut ended,
            ..
        } = self;
        // From here on nobody uses any memory of an operation.
        drop(disk);
        let mut state = shared.state.lock();
        for writer in writers {
            let items = writer.batches.into_iter().flat_map(|batch| batch.items);
            for mut item in items {
                if item.payload.is_some() {
                    drop(state.release(&mut item, writer.kind));
                }
                state.fail(item, writer.kind, AppendFailure::Failed, &mut ended);
            }
        }
        let waiting: Vec<_> = state.reads.drain(..).chain(flights.into_reads()).collect();
        drop(state);
        for (end, result) in ended {
            end.tell(result);
        }
        for queued in waiting {
            let end = reads::end(queued.read, Err(ReadFailure::Stopped));
            (queued.done)(end);
        }
    }
}
