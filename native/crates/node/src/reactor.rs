use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::abort;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use holdfast_transport::{Listener, SocketOptions, Stream};
use holdfast_wire::{AnswerStatus, Header, Kind, Refusal};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use parking_lot::Mutex;

use crate::connection::{Connection, Context, Scratch, Turn};
use crate::counters::Counters;
use crate::shared::Shared;

const WAKER: Token = Token(0);
const LISTENERS: usize = 1;
const CONNECTIONS: usize = 16;
const EVENTS_MAX: usize = 256;
/// Between looks at deadlines while something is under way, milliseconds.
const TICK_BUSY_MS: u64 = 50;
/// Between looks at deadlines while nothing is, milliseconds.
const TICK_IDLE_MS: u64 = 1000;
/// Connections without an accepted hello that a node keeps, over all reactors. The oldest goes when
/// one more comes: it has had the most time, and who is a stranger for long keeps nobody else out.
const STRANGERS_MAX: usize = 128;
/// Rounds in a row that end by a bug before the process ends itself.
const FAULTS_MAX: u32 = 16;
/// Connections taken in a row before others have their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How other threads reach a reactor.
pub(crate) struct Inbox {
    streams: Mutex<Vec<Stream>>,
    waker: Waker,
    pub(crate) counters: Counters,
}

impl Inbox {
    pub(crate) fn new(registry: &Registry) -> io::Result<Self> {
        Ok(Self {
            streams: Mutex::default(),
            waker: Waker::new(registry, WAKER)?,
            counters: Counters::default(),
        })
    }

    fn hand_over(&self, stream: Stream) -> io::Result<()> {
        self.streams.lock().push(stream);
        self.waker.wake()
    }

    /// Makes the reactor look at what has changed.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.waker.wake()
    }
}

/// One thread's connections, served in turns.
pub(crate) struct Reactor {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    /// Every reactor's, this one's included: where accepted connections go in turn.
    peers: Vec<Arc<Inbox>>,
    next_peer: usize,
    listeners: Vec<Listener>,
    /// Whether a listener may have connections waiting.
    accepting: bool,
    poll: Poll,
    connections: HashMap<Token, Connection>,
    /// The newest connections, oldest first; every stranger is among them.
    newcomers: VecDeque<Token>,
    next_token: usize,
    /// Connections with something to do, each at most once.
    ready: VecDeque<Token>,
    scratch: Scratch,
    tick_at_ms: u64,
    worked_us: u64,
}

impl Reactor {
    pub(crate) fn new(
        shared: Arc<Shared>,
        inbox: Arc<Inbox>,
        peers: Vec<Arc<Inbox>>,
        listeners: Vec<Listener>,
        poll: Poll,
    ) -> io::Result<Self> {
        for (index, listener) in listeners.iter().enumerate() {
            let token = Token(LISTENERS + index);
            let descriptor = listener.as_raw_fd();
            poll.registry()
                .register(&mut SourceFd(&descriptor), token, Interest::READABLE)?;
        }
        Ok(Self {
            shared,
            inbox,
            peers,
            next_peer: 0,
            accepting: !listeners.is_empty(),
            listeners,
            poll,
            connections: HashMap::new(),
            newcomers: VecDeque::new(),
            next_token: CONNECTIONS,
            ready: VecDeque::new(),
            scratch: Scratch::default(),
            tick_at_ms: 0,
            worked_us: 0,
        })
    }

    /// Serves until the node stops. A bug in one connection's handling ends that connection, a
    /// bug elsewhere is counted and the loop goes on. One that comes again and again ends the
    /// process: a node that listens and does not serve is worse than one that is gone.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut faults = 0;
        loop {
            let turn = catch_unwind(AssertUnwindSafe(|| self.round(&mut events)));
            match turn {
                Ok(true) => faults = 0,
                Ok(false) => return,
                Err(_) => {
                    self.inbox.counters.panics.add(1);
                    faults += 1;
                    if faults == FAULTS_MAX {
                        abort();
                    }
                }
            }
        }
    }

    /// One look at the poller and one turn of every ready connection; false at the end.
    fn round(&mut self, events: &mut Events) -> bool {
        let timeout = self.timeout();
        if let Err(error) = self.poll.poll(events, Some(timeout)) {
            let interrupted = error.kind() == io::ErrorKind::Interrupted;
            assert!(interrupted, "the kernel's poller fails: {error}");
        }
        if timeout.is_zero() && events.is_empty() && self.ready.is_empty() {
            // While it spins, the caller may be waiting for this very core.
            std::thread::yield_now();
        }
        for event in events.iter() {
            self.note(event);
        }
        self.take_streams();
        if self.accepting {
            self.accept();
        }
        let turns = self.ready.len();
        for _ in 0..turns {
            let Some(token) = self.ready.pop_front() else {
                break;
            };
            if let Some(connection) = self.connections.get_mut(&token) {
                connection.is_queued = false;
            }
            self.turn(token, Connection::turn);
        }
        let now_us = self.shared.clock.monotonic_us();
        if turns > 0 {
            self.worked_us = now_us;
        } else if timeout.is_zero() {
            // A spinning reactor may share its core with the caller that it waits for.
            thread::yield_now();
        }
        if now_us / 1000 >= self.tick_at_ms || self.shared.is_stopping() {
            self.tick(now_us / 1000);
        }
        !self.is_over(now_us / 1000)
    }

    fn timeout(&self) -> Duration {
        if !self.ready.is_empty() {
            return Duration::ZERO;
        }
        let now_us = self.shared.clock.monotonic_us();
        let spin_us = u64::from(self.shared.config.spin_us);
        if now_us < self.worked_us + spin_us {
            return Duration::ZERO;
        }
        Duration::from_micros((self.tick_at_ms * 1000).saturating_sub(now_us))
    }

    fn note(&mut self, event: &Event) {
        let token = event.token();
        if token == WAKER {
            return;
        }
        if token.0 < CONNECTIONS {
            self.accepting = true;
            return;
        }
        if let Some(connection) = self.connections.get_mut(&token) {
            let ended = event.is_error() || event.is_read_closed();
            connection.note_ready(event.is_readable(), ended, event.is_writable());
            self.queue(token);
        }
    }

    fn queue(&mut self, token: Token) {
        if let Some(connection) = self.connections.get_mut(&token)
            && !connection.is_queued
        {
            connection.is_queued = true;
            self.ready.push_back(token);
        }
    }

    /// Lets one connection work, and keeps or drops it as it says.
    fn turn(&mut self, token: Token, work: impl FnOnce(&mut Connection, &mut Context<'_>) -> Turn) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        let mut context = Context {
            shared: &self.shared,
            counters: &self.inbox.counters,
            scratch: &mut self.scratch,
            now_us: self.shared.clock.monotonic_us(),
        };
        let turn = catch_unwind(AssertUnwindSafe(|| work(connection, &mut context)));
        match turn {
            Ok(Turn::Wait) => {}
            Ok(Turn::Again) => self.queue(token),
            Ok(Turn::Over) => self.close(token),
            Err(_) => {
                self.inbox.counters.panics.add(1);
                self.scratch = Scratch::default();
                self.close(token);
            }
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(connection) = self.connections.remove(&token) {
            let descriptor = connection.stream().as_raw_fd();
            // Closing takes it off the poller anyway.
            let _ = self.poll.registry().deregister(&mut SourceFd(&descriptor));
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn accept(&mut self) {
        if self.shared.is_stopping() {
            self.listeners.clear();
        }
        let options = SocketOptions::default();
        let mut accepted = Vec::new();
        self.accepting = false;
        for listener in &self.listeners {
            for count in 0.. {
                if count == ACCEPTS_PER_TURN {
                    self.accepting = true;
                    break;
                }
                match listener.accept(&options) {
                    Ok(Some(stream)) => accepted.push(stream),
                    Ok(None) => break,
                    // Out of descriptors or memory: the next tick tries again.
                    Err(_) => break,
                }
            }
        }
        for stream in accepted {
            self.place(stream);
        }
    }

    /// Gives an accepted connection to the reactor whose turn it is.
    fn place(&mut self, stream: Stream) {
        if self.shared.is_full() {
            self.inbox.counters.connections_refused.add(1);
            refuse(&stream, &self.shared.full_text());
            return;
        }
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        self.inbox.counters.connections_accepted.add(1);
        let peer = Arc::clone(&self.peers[self.next_peer % self.peers.len()]);
        self.next_peer += 1;
        if Arc::ptr_eq(&peer, &self.inbox) {
            self.adopt(stream);
        } else if peer.hand_over(stream).is_err() {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn take_streams(&mut self) {
        let streams = std::mem::take(&mut *self.inbox.streams.lock());
        for stream in streams {
            self.adopt(stream);
        }
    }

    fn adopt(&mut self, stream: Stream) {
        self.make_room();
        let token = Token(self.next_token);
        self.next_token += 1;
        let descriptor = stream.as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        if registry
            .register(&mut SourceFd(&descriptor), token, interest)
            .is_err()
        {
            self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let now_ms = self.shared.clock.monotonic_ms();
        self.connections
            .insert(token, Connection::new(stream, now_ms));
        self.newcomers.push_back(token);
        self.tick_at_ms = self.tick_at_ms.min(now_ms + TICK_BUSY_MS);
        self.queue(token);
    }

    /// Drops the oldest stranger if there is no room for one more.
    fn make_room(&mut self) {
        let room = (STRANGERS_MAX / self.peers.len()).max(1);
        if self.newcomers.len() < room {
            return;
        }
        let connections = &self.connections;
        let is_stranger = |token: &Token| connections.get(token).is_some_and(|one| !one.is_open());
        self.newcomers.retain(is_stranger);
        if self.newcomers.len() < room {
            return;
        }
        let Some(oldest) = self.newcomers.pop_front() else {
            return;
        };
        if let Some(connection) = self.connections.get(&oldest)
            && connection.awaits_hello()
        {
            refuse(
                connection.stream(),
                "too many connections have said no hello, this one for the longest time",
            );
        }
        self.inbox.counters.strangers_dropped.add(1);
        self.close(oldest);
    }

    /// Lets every connection look at its deadlines.
    fn tick(&mut self, now_ms: u64) {
        let tokens: Vec<Token> = self.connections.keys().copied().collect();
        for token in tokens {
            self.turn(token, Connection::tick);
        }
        let busy = self.connections.values().any(Connection::is_busy);
        let pause_ms = if busy { TICK_BUSY_MS } else { TICK_IDLE_MS };
        self.tick_at_ms = now_ms + pause_ms;
        self.accepting |= !self.listeners.is_empty();
    }

    /// Whether the node stops and nothing is left here, or its time is over.
    fn is_over(&mut self, now_ms: u64) -> bool {
        if !self.shared.is_stopping() {
            return false;
        }
        self.listeners.clear();
        if now_ms >= self.shared.stop_at_ms() {
            let tokens: Vec<Token> = self.connections.keys().copied().collect();
            for token in tokens {
                self.close(token);
            }
        }
        self.connections.is_empty() && self.inbox.streams.lock().is_empty()
    }
}

/// Tells a connection that there are too many. Nothing was sent to it yet, so the frame fits.
fn refuse(stream: &Stream, text: &str) {
    let mut header = Header::new(Kind::Goodbye, 0);
    header.status = AnswerStatus::Busy;
    let mut body = Vec::new();
    Refusal::encode(text, &mut body);
    let mut frame = Vec::new();
    header.encode(&body, &mut frame);
    // If the peer is gone already there is nobody to tell.
    let _ = stream.write(&frame);
    stream.shutdown_write();
}
