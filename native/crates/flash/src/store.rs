use std::sync::Arc;
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use holdfast_engine::{BlockId, Millis, SpaceSpec};
use parking_lot::Mutex;

use crate::disk::Disk;
use crate::failures::ReadFailure;
use crate::log::{Log, Shared, check_room, read_end};
use crate::restart::{OpenReport, open_state};
use crate::state::QueuedRead;
use crate::stats::FlashStats;
use crate::types::{
    Append, AppendDone, Appended, DeleteDone, Durability, Location, ReadDone, ReadEnd, ReadInto,
};
use crate::{FlashConfig, FlashError};

/// Longest wait of the store's thread without a look around.
const TURN_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time for what is queued when the store is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A log-structured store of blocks. Calls never wait for the disk; ends are told by the store's
/// thread. Dropping it writes what is queued and ends the thread.
pub struct FlashStore {
    shared: Arc<Shared>,
    waker: Waker,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl FlashStore {
    /// Opens the store on a disk, or creates one on an empty disk.
    ///
    /// # Errors
    /// The configuration breaks a rule, the disk fails or holds something else, or the kernel
    /// refuses memory or a thread.
    pub fn open(
        config: FlashConfig,
        disk: Box<dyn Disk>,
        now: Millis,
    ) -> Result<(Self, OpenReport), FlashError> {
        let (store, mut log, report) = Self::open_stepped(config, disk, now)?;
        let thread = std::thread::Builder::new()
            .name("flash".to_owned())
            .spawn(move || {
                run(&mut log);
                log.abandon();
            })
            .map_err(|source| FlashError::Thread { source })?;
        *store.thread.lock() = Some(thread);
        Ok((store, report))
    }

    /// As [`FlashStore::open`], without a thread: the caller gives turns to the log. For tests
    /// and simulations that decide themselves what happens when.
    ///
    /// # Errors
    /// As of [`FlashStore::open`].
    pub fn open_stepped(
        config: FlashConfig,
        mut disk: Box<dyn Disk>,
        now: Millis,
    ) -> Result<(Self, Log, OpenReport), FlashError> {
        let config = config.validate()?;
        let (state, report) = open_state(&config, disk.as_mut(), now)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
        });
        let waker = disk.waker();
        let log = Log::new(disk, Arc::clone(&shared));
        let store = Self {
            shared,
            waker,
            thread: Mutex::new(None),
        };
        Ok((store, log, report))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn wake(&self) {
        self.waker.wake_by_ref();
    }

    /// Takes blocks of one put into the write queue; replaces `out` by what became of each.
    ///
    /// A cache block is also refused when it is not worth its write: by the write budget, or
    /// because it is the deepest of its put and those of its space are never asked for again.
    ///
    /// `done` is told once for each that is [`Appended::Queued`].
    pub fn append(
        &self,
        spec: &SpaceSpec,
        durability: Durability,
        blocks: Vec<Append>,
        now: Millis,
        done: &AppendDone,
        out: &mut Vec<Appended>,
    ) {
        out.clear();
        let mut state = self.shared.state.lock();
        state.note(now);
        let deepest = blocks.iter().map(|block| block.key.position).max();
        for block in blocks {
            let is_deepest = Some(block.key.position) == deepest;
            let appended = state.append(spec, durability, block, is_deepest, done);
            out.push(appended);
        }
        drop(state);
        self.wake();
    }

    /// Replaces `out` by where each block lies; `None` for those that cannot be read. `touch`
    /// counts the lookup as a use, which keeps cache blocks longer.
    pub fn lookup(
        &self,
        space: u32,
        ids: &[BlockId],
        now: Millis,
        touch: bool,
        out: &mut Vec<Option<Location>>,
    ) {
        let mut state = self.shared.state.lock();
        state.lookup(space, ids, now, touch, out);
    }

    /// Begins to read blocks into the caller's memory. `done` is told once for each.
    pub fn read(&self, reads: Vec<ReadInto>, done: &ReadDone) {
        let mut refused: Vec<(ReadInto, ReadFailure)> = Vec::new();
        let mut state = self.shared.state.lock();
        let reads_max = state.config.reads_queued_max;
        for mut read in reads {
            let failure = if let Err(failure) = check_room(&mut read) {
                failure
            } else if state.stopping {
                ReadFailure::Stopped
            } else if state.reads.len() >= reads_max as usize {
                ReadFailure::Busy { reads_max }
            } else {
                let done = Arc::clone(done);
                state.reads.push_back(QueuedRead { read, done });
                continue;
            };
            refused.push((read, failure));
        }
        drop(state);
        self.wake();
        for (read, failure) in refused {
            done(read_end(read, Err(failure)));
        }
    }

    /// Drops blocks; for each id whether it was there. They cannot be found any more at once, and
    /// after a crash either, once their tombstones are on stable storage.
    pub fn delete(&self, space: u32, ids: &[BlockId], now: Millis, out: &mut [bool]) {
        let mut state = self.shared.state.lock();
        state.note(now);
        state.delete(space, ids, out, None);
        drop(state);
        self.wake();
    }

    /// As [`FlashStore::delete`], and `done` is told when the tombstones are on stable storage, or
    /// at once when the space has nothing here.
    pub fn delete_durable(
        &self,
        space: u32,
        ids: &[BlockId],
        now: Millis,
        out: &mut [bool],
        done: DeleteDone,
    ) {
        let mut state = self.shared.state.lock();
        state.note(now);
        let unused = state.delete(space, ids, out, Some(done));
        drop(state);
        self.wake();
        if let Some(done) = unused {
            done(Ok(()));
        }
    }

    /// Drops every block of the space. Its number must not be used again: after a restart
    /// [`FlashStore::set_spaces_alive`] tells which ones are left. Room of durable blocks comes
    /// back as [`FlashStore::sweep`] passes over them.
    pub fn drop_space(&self, space: u32) {
        self.shared
            .state
            .lock()
            .index
            .spaces_mut()
            .drop_space(space);
    }

    /// Drops every space that is not among these: to be called after a restart, when it is known
    /// which spaces the cluster still has.
    pub fn set_spaces_alive(&self, alive: &[u32]) {
        self.shared.state.lock().keep_spaces(alive);
    }

    /// Forgets expired blocks and those of dropped spaces among `slots` records from `from` on;
    /// where to go on, 0 after the last. All must be looked at within twice the shortest time to
    /// live.
    pub fn sweep(&self, now: Millis, from: u32, slots: u32) -> u32 {
        self.shared.state.lock().sweep(now, from, slots)
    }

    /// Largest block, bytes.
    #[must_use]
    pub fn block_bytes_max(&self) -> u32 {
        self.shared.state.lock().config.block_bytes_max()
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> FlashStats {
        self.shared.state.lock().stats()
    }

    /// Takes no more, writes what is queued and ends the thread.
    pub fn close(&self) {
        self.shared.state.lock().stopping = true;
        self.wake();
        let thread = self.thread.lock().take();
        let own = std::thread::current().id();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != own) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for FlashStore {
    fn drop(&mut self) {
        self.close();
    }
}

/// Gives the log turns until the store is closed and everything has ended, or takes too long.
fn run(log: &mut Log) {
    let mut closing: Option<Instant> = None;
    while log.turn(TURN_TIMEOUT) {
        if log.is_stopping() && closing.get_or_insert_with(Instant::now).elapsed() > CLOSE_TIMEOUT {
            return;
        }
    }
}

/// Sends the ends of reads to a channel: for callers that wait.
pub(crate) fn ends_to(sender: std::sync::mpsc::Sender<ReadEnd>) -> ReadDone {
    Arc::new(move |end| {
        // Whoever waits no longer does not want to know.
        let _ = sender.send(end);
    })
}
