use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_wire::{KeyStatus, Kind};

/// Buckets of a latency histogram: bucket i counts times from 2^i to 2^(i+1) microseconds.
pub(crate) const BUCKETS: usize = 28;
const KINDS: usize = 16;

/// One counter: only ever grows, read without stopping anybody.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What one reactor counts. Each reactor has its own, so that counting costs no traffic
        /// between cores.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)+
            requests: [Counter; KINDS],
            latency: [[Counter; BUCKETS]; KINDS],
        }

        impl Counters {
            /// Name and value of every plain counter.
            pub(crate) fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.value())),+]
            }
        }
    };
}

counters! {
    /// Connections taken.
    connections_accepted,
    /// Connections refused because there were too many.
    connections_refused,
    /// Connections dropped before their hello because there were too many such.
    strangers_dropped,
    /// Bytes read from sockets.
    bytes_received,
    /// Bytes written to sockets.
    bytes_sent,
    /// Bytes copied out of offered regions.
    bytes_copied,
    /// Keys of exists and get that were stored here.
    keys_hit,
    /// Keys of exists and get that were not.
    keys_missed,
    /// Blocks stored by puts.
    keys_stored,
    /// Keys of puts that were stored already.
    keys_present,
    /// Keys answered busy.
    keys_busy,
    /// Keys of puts that can never be stored as asked.
    keys_refused,
    /// Blocks whose bytes did not match the caller's checksum when they arrived.
    keys_corrupt_received,
    /// Blocks dropped because a reader found their bytes wrong and the node agreed.
    keys_corrupt_stored,
    /// Keys of groups that this node does not own.
    keys_not_owned,
    /// Requests whose time was over before they were answered.
    requests_expired,
    /// Requests refused for want of a right.
    requests_denied,
    /// Connections cut because the peer did not take its answers in time.
    readers_cut,
    /// Connections cut because the peer did not deliver its payload in time.
    writers_cut,
    /// Connections closed because nothing was asked for long.
    idle_closed,
    /// Connections ended because of bytes that are not of this protocol.
    protocol_errors,
    /// Hellos refused.
    hellos_refused,
    /// Connections ended by a bug of this node.
    panics,
}

impl Counters {
    pub(crate) fn request(&self, kind: Kind) {
        self.requests[kind as usize % KINDS].add(1);
    }

    pub(crate) fn latency(&self, kind: Kind, elapsed_us: u64) {
        let bucket = (elapsed_us.max(1).ilog2() as usize).min(BUCKETS - 1);
        self.latency[kind as usize % KINDS][bucket].add(1);
    }

    /// Counts the final statuses of a put.
    pub(crate) fn put_statuses(&self, statuses: &[KeyStatus]) {
        let count = |wanted| statuses.iter().filter(|status| **status == wanted).count() as u64;
        self.keys_stored.add(count(KeyStatus::Stored));
        self.keys_present.add(count(KeyStatus::Present));
        self.keys_busy.add(count(KeyStatus::Busy));
        self.keys_refused.add(count(KeyStatus::Refused));
        self.keys_corrupt_received.add(count(KeyStatus::Corrupt));
        self.keys_not_owned.add(count(KeyStatus::NotOwner));
    }

    pub(crate) fn requests_of(&self, kind: Kind) -> u64 {
        self.requests[kind as usize % KINDS].value()
    }

    pub(crate) fn latency_of(&self, kind: Kind) -> [u64; BUCKETS] {
        std::array::from_fn(|bucket| self.latency[kind as usize % KINDS][bucket].value())
    }
}
