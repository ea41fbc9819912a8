//! Who moves the bytes: a thread that waits for its operation drives all of them; a background
//! thread drives those that nobody waits for.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::fork::ForkGuard;
use crate::operation::{CopyBatch, OperationShared};
use crate::poller::{EventDescriptor, Poller};
use crate::state::{Background, State};
use crate::stripe::{Buffers, DecodeBatch};

/// How often the background thread looks whether anything is left undone.
const TICK: Duration = Duration::from_millis(50);
/// After this long without work the background thread sleeps until it is told.
const REST_AFTER: Duration = Duration::from_secs(1);
/// Longest single wait for the kernel.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Slices of one look that does not wait.
const LOOK_SLICES: usize = 8;

/// What all handles of one client share.
pub(crate) struct Shared {
    pub state: Mutex<State>,
    pub poller: Arc<Poller>,
    pub finished_event: Arc<EventDescriptor>,
    /// Wakes the background thread, and whoever waits for its end.
    pub background: Condvar,
    pub fork: ForkGuard,
    /// Memory for what callers have no room for.
    pub buffers: Arc<Buffers>,
}

impl Shared {
    /// Drives until the operation is done (true) or `until`.
    pub(crate) fn wait(&self, operation: &Arc<OperationShared>, until: Instant) -> bool {
        let mut state = self.state.lock();
        while !operation.done() {
            if let Some(batch) = state.take_copies(operation.token) {
                self.hand_over(&state);
                state = self.copy(state, batch);
                continue;
            }
            if let Some(batch) = state.take_decode(operation.token) {
                self.hand_over(&state);
                self.decode(&mut state, batch);
                continue;
            }
            if state.work() {
                MutexGuard::bump(&mut state);
                continue;
            }
            let now = Instant::now();
            if state.fire_timers(now) {
                continue;
            }
            if now >= until {
                break;
            }
            let next = state.next_timer().map_or(until, |timer| timer.min(until));
            if state.driving {
                if state.background_driving {
                    self.poller.wake();
                }
                state.waiting.push(Arc::clone(operation));
                operation.changed.wait_until(&mut state, next);
                state.stop_waiting(operation);
            } else {
                self.drive(&mut state, next, false);
            }
        }
        self.hand_over(&state);
        operation.done()
    }

    /// Waits for the kernel without the lock, as the only thread that does.
    fn drive(&self, state: &mut MutexGuard<'_, State>, until: Instant, background: bool) {
        let now = Instant::now();
        let until = until.min(now + WAIT_MAX);
        let spin = if background {
            Duration::ZERO
        } else {
            state.spin()
        };
        state.driving = true;
        state.background_driving = background;
        state.driving_until = until;
        let mut ready = Vec::new();
        MutexGuard::unlocked(state, || self.poller.wait(spin, until, &mut ready));
        state.driving = false;
        state.background_driving = false;
        state.driven_at = Instant::now();
        state.apply(&ready);
    }

    /// Copies one batch out of shared memory, releasing the lock for each slice.
    fn copy<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        batch: CopyBatch,
    ) -> MutexGuard<'a, State> {
        let mut next = Some(batch);
        while let Some(mut batch) = next {
            MutexGuard::unlocked(&mut state, || batch.copy_slice());
            next = state.copied(batch);
        }
        state
    }

    /// Computes stripes without the lock.
    fn decode(&self, state: &mut MutexGuard<'_, State>, mut batch: DecodeBatch) {
        MutexGuard::unlocked(state, || batch.compute());
        state.decoded(batch);
    }

    /// Gives the driver's role, when it is free, to somebody who waits.
    pub(crate) fn hand_over(&self, state: &State) {
        if state.driving {
            return;
        }
        if let Some(waiting) = state.waiting.last() {
            waiting.changed.notify_all();
        } else if state.background_operations > 0 {
            self.background.notify_one();
        }
    }

    /// Moves what can be moved without waiting.
    pub(crate) fn look(&self, operation: &Arc<OperationShared>) {
        let mut state = self.state.lock();
        if !state.driving {
            let mut ready = Vec::new();
            self.poller.poll(0, &mut ready);
            state.apply(&ready);
        }
        for _ in 0..LOOK_SLICES {
            if let Some(batch) = state.take_copies(operation.token) {
                state = self.copy(state, batch);
            } else if let Some(batch) = state.take_decode(operation.token) {
                self.decode(&mut state, batch);
            } else if !state.work() {
                break;
            }
        }
        state.fire_timers(Instant::now());
        self.hand_over(&state);
    }

    /// Ends an operation now. Once this returns nothing touches its memory.
    pub(crate) fn cancel(&self, operation: &Arc<OperationShared>) {
        let mut state = self.state.lock();
        if operation.done() {
            return;
        }
        state.counters.cancelled += 1;
        state.end(operation.token, holdfast_wire::KeyStatus::Cancelled);
        state.settle();
        while !operation.done() {
            // A copy is under way; its thread stops at the end of its slice.
            operation.changed.wait_for(&mut state, TICK);
        }
        self.hand_over(&state);
    }

    /// Makes sure that somebody will drive what was just started.
    pub(crate) fn after_start(self: &Arc<Self>, state: &mut State, notify: bool) {
        match state.background {
            Background::None => {
                state.background = Background::Awake;
                let shared = Arc::clone(self);
                let started = thread::Builder::new()
                    .name("holdfast-client".to_owned())
                    .spawn(move || shared.run_background());
                if started.is_err() {
                    // Out of threads: those who wait drive; a later start tries again.
                    state.background = Background::None;
                }
            }
            Background::Asleep => {
                self.background.notify_one();
            }
            Background::Awake if notify => {
                if !state.driving {
                    self.background.notify_one();
                } else if state
                    .next_timer()
                    .is_some_and(|timer| timer < state.driving_until)
                {
                    self.poller.wake();
                }
            }
            Background::Awake | Background::Ended => {}
        }
    }

    fn run_background(self: Arc<Self>) {
        block_signals();
        let mut state = self.state.lock();
        while !state.closed {
            if let Some(batch) = state.take_background_copies() {
                state = self.copy(state, batch);
                continue;
            }
            if let Some(batch) = state.take_background_decode() {
                self.decode(&mut state, batch);
                continue;
            }
            let others = state.driving || !state.waiting.is_empty();
            if state.background_operations > 0 && !others {
                self.drive_in_background(&mut state);
                continue;
            }
            let idle = !state.has_work_left(Instant::now());
            if idle && !others && state.driven_at.elapsed() > REST_AFTER {
                state.background = Background::Asleep;
                self.background.wait(&mut state);
                if !state.closed {
                    state.background = Background::Awake;
                    state.driven_at = Instant::now();
                }
                continue;
            }
            self.background.wait_for(&mut state, TICK);
            self.tick(&mut state);
        }
        state.background = Background::Ended;
        self.background.notify_all();
    }

    fn drive_in_background(&self, state: &mut MutexGuard<'_, State>) {
        if state.work() {
            MutexGuard::bump(state);
            return;
        }
        let now = Instant::now();
        if state.fire_timers(now) {
            return;
        }
        let until = state.next_timer().unwrap_or(now + WAIT_MAX);
        self.drive(state, until, true);
        self.hand_over(state);
    }

    /// Operations that were started and left alone, and nodes that are to be tried again.
    fn tick(&self, state: &mut MutexGuard<'_, State>) {
        if state.driving || !state.waiting.is_empty() || state.driven_at.elapsed() < TICK {
            return;
        }
        if !state.has_work_left(Instant::now()) {
            return;
        }
        let mut ready = Vec::new();
        self.poller.poll(0, &mut ready);
        state.apply(&ready);
        while state.work() {
            MutexGuard::bump(state);
        }
        state.fire_timers(Instant::now());
    }
}

impl State {
    fn stop_waiting(&mut self, operation: &Arc<OperationShared>) {
        let found = self
            .waiting
            .iter()
            .position(|waiting| Arc::ptr_eq(waiting, operation));
        if let Some(position) = found {
            self.waiting.swap_remove(position);
        }
    }
}

/// Signals are for the threads of the program.
fn block_signals() {
    // SAFETY: the set is owned by this frame, and blocking all signals of a thread of our own
    // cannot fail.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}
