use std::collections::BTreeMap;

use holdfast_engine::EngineStats;
use holdfast_wire::Kind;

use crate::counters::{BUCKETS, Counters};

/// Buckets of a latency histogram: bucket i counts times from 2^i to 2^(i+1) microseconds.
pub const LATENCY_BUCKETS: usize = BUCKETS;

/// Requests that are counted and timed, and their names.
const REQUESTS: [(Kind, &str); 14] = [
    (Kind::Hello, "hello"),
    (Kind::Bind, "bind"),
    (Kind::Exists, "exists"),
    (Kind::Get, "get"),
    (Kind::Put, "put"),
    (Kind::PutOffered, "put_offered"),
    (Kind::Delete, "delete"),
    (Kind::Pin, "pin"),
    (Kind::Stat, "stat"),
    (Kind::Report, "report"),
    (Kind::List, "list"),
    (Kind::Offer, "offer"),
    (Kind::Withdraw, "withdraw"),
    (Kind::Ping, "ping"),
];

/// Counters since the node started, and what is true now.
#[derive(Debug, Clone, Default)]
pub struct NodeStats {
    /// The engine's.
    pub engine: EngineStats,
    /// Counters by name; they only grow.
    pub counters: BTreeMap<&'static str, u64>,
    /// Requests by name.
    pub requests: BTreeMap<&'static str, u64>,
    /// Times from a request's arrival to its last answer's end, by request: one count a bucket.
    pub latency: BTreeMap<&'static str, [u64; LATENCY_BUCKETS]>,
    /// Connections now.
    pub connections: u32,
    /// Epoch of the newest map that the node was told of.
    pub epoch: u64,
    /// Payload granted and not yet delivered, bytes.
    pub granted_bytes: u64,
    /// Blocks held in place by queued answers, bytes.
    pub pinned_bytes: u64,
}

impl NodeStats {
    /// Adds what one reactor counted.
    pub(crate) fn add(&mut self, counters: &Counters) {
        for (name, value) in counters.named() {
            *self.counters.entry(name).or_default() += value;
        }
        for (kind, name) in REQUESTS {
            *self.requests.entry(name).or_default() += counters.requests_of(kind);
            let sum = self.latency.entry(name).or_insert([0; LATENCY_BUCKETS]);
            for (sum, count) in sum.iter_mut().zip(counters.latency_of(kind)) {
                *sum += count;
            }
        }
    }
}
