use std::time::{Duration, Instant};

use holdfast_wire::TransportKind;

use crate::random::Random;
use crate::stripe::Pace;
use crate::{ClientConfig, NodeEntry, TransportChoice};

/// Whether a node is worth asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answered last, or was never tried.
    Good,
    /// It failed: nobody asks until a try from `retry_at` on is greeted.
    Bad { retry_at: Instant },
    /// Such a try is under way.
    Trying,
}

/// One node, and how it is reached.
pub(crate) struct Peer {
    pub entry: NodeEntry,
    /// Numbers of its lanes.
    pub lanes: Vec<Option<u64>>,
    pub health: Health,
    /// Failed tries in a row.
    failures: u32,
    /// Since when it has been silent although it was asked, as far as calls that ended so know.
    pub silent_since: Option<Instant>,
    /// Shared memory failed: TCP until that fails too.
    pub use_tcp: bool,
    /// Incarnation that it last greeted with.
    pub incarnation_seen: u64,
    pub last_error: String,
    pub counters: PeerCounters,
    /// How long it took for reads lately.
    pub pace: Pace,
}

/// Counted since the peer was first named.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PeerCounters {
    pub requests: u64,
    pub keys: u64,
    pub hits: u64,
    pub connections: u64,
    pub failures: u64,
    pub timeouts: u64,
    pub corrupt: u64,
}

impl Peer {
    pub(crate) fn new(entry: NodeEntry, lanes: usize) -> Self {
        Self {
            entry,
            lanes: vec![None; lanes],
            health: Health::Good,
            failures: 0,
            silent_since: None,
            use_tcp: false,
            incarnation_seen: 0,
            last_error: String::new(),
            counters: PeerCounters::default(),
            pace: Pace::default(),
        }
    }

    /// Whether a request may be sent to it now.
    pub(crate) fn usable(&self) -> bool {
        self.entry.up && self.health == Health::Good
    }

    /// How payload shall move; `None` when the configuration leaves no way.
    pub(crate) fn transport(&self, config: &ClientConfig) -> Option<TransportKind> {
        let local = !config.boot_id.is_empty()
            && config.boot_id == self.entry.boot_id
            && !self.entry.unix_path.is_empty();
        match config.transport {
            TransportChoice::Tcp => Some(TransportKind::Tcp),
            TransportChoice::SharedMemory => local.then_some(TransportKind::SharedMemory),
            TransportChoice::Auto if local && !self.use_tcp => Some(TransportKind::SharedMemory),
            TransportChoice::Auto => Some(TransportKind::Tcp),
        }
    }

    /// It failed: from now on nobody asks it, until a try after a growing pause.
    pub(crate) fn fail(&mut self, config: &ClientConfig, random: &mut Random, now: Instant) {
        let least = u64::from(config.retry_backoff_ms_min);
        let most = u64::from(config.retry_backoff_ms_max);
        let pause_ms = (least << self.failures.min(16)).min(most);
        self.failures = self.failures.saturating_add(1);
        self.use_tcp = false;
        self.health = Health::Bad {
            retry_at: now + Duration::from_millis(random.jitter(pause_ms)),
        };
    }

    /// It greeted.
    pub(crate) fn recover(&mut self, incarnation: u64) {
        self.health = Health::Good;
        self.failures = 0;
        self.silent_since = None;
        self.incarnation_seen = incarnation;
    }

    /// A new map: forgets failures when it names another process or says that it came up.
    /// True when its connections lead elsewhere now.
    pub(crate) fn update(&mut self, entry: NodeEntry) -> bool {
        let restarted = entry.incarnation != self.entry.incarnation
            && entry.incarnation != self.incarnation_seen;
        let moved = restarted
            || entry.tcp_address != self.entry.tcp_address
            || entry.unix_path != self.entry.unix_path;
        if moved || (entry.up && !self.entry.up) {
            self.health = Health::Good;
            self.failures = 0;
            self.silent_since = None;
            self.use_tcp = false;
        }
        self.entry = entry;
        moved
    }
}
