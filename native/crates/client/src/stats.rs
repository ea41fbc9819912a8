use holdfast_wire::TransportKind;

use crate::peer::Health;
use crate::{Client, ClientError};

/// One node as this client sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStats {
    /// Its id.
    pub node: u64,
    /// Incarnation that it last greeted with; 0 when it never did.
    pub incarnation: u64,
    /// Where it listens.
    pub tcp_address: String,
    /// How payload moves: "tcp" or "shm"; empty when the configuration leaves no way.
    pub transport: &'static str,
    /// "good", "failed", "trying" or "down" (by the map).
    pub state: &'static str,
    /// Connections open now.
    pub lanes: u64,
    /// Requests without an answer now.
    pub requests_in_flight: u64,
    /// Payload that they move, bytes.
    pub bytes_in_flight: u64,
    /// Views of its memory mapped now.
    pub views: u64,
    /// Bytes received on the lanes open now.
    pub bytes_received: u64,
    /// Requests so far.
    pub requests: u64,
    /// Keys that they asked for.
    pub keys: u64,
    /// Keys of reads that it had.
    pub hits: u64,
    /// Connections begun so far.
    pub connections: u64,
    /// Connections that failed.
    pub failures: u64,
    /// Deadlines that it was silent until.
    pub timeouts: u64,
    /// Blocks of its that did not match their checksum.
    pub corrupt: u64,
    /// What went wrong last; empty when nothing did.
    pub last_error: String,
}

impl Client {
    /// Counters since the client was made, and gauges.
    ///
    /// # Errors
    /// Forked.
    pub fn stats(&self) -> Result<Vec<(&'static str, u64)>, ClientError> {
        let state = self.lock_even_closed()?;
        let counters = &state.counters;
        Ok(vec![
            ("operations", counters.operations),
            ("keys", counters.keys),
            ("keys_served", counters.keys_served),
            ("bytes_read", counters.bytes_read),
            ("bytes_written", counters.bytes_written),
            ("corrupt", counters.corrupt),
            ("timed_out", counters.timed_out),
            ("cancelled", counters.cancelled),
            ("lanes_opened", counters.lanes_opened),
            ("lanes_failed", counters.lanes_failed),
            ("lanes_cut", counters.lanes_cut),
            ("hedges", counters.hedges),
            ("reroutes", counters.reroutes),
            ("keys_asked_again", counters.keys_asked_again),
            ("copies_mismatched", counters.copies_mismatched),
            ("chunks_spare", counters.chunks_spare),
            ("stripes_computed", counters.stripes_computed),
            ("stripes_mixed", counters.stripes_mixed),
            ("operations_in_flight", state.operations.len() as u64),
            ("bytes_in_flight", state.bytes_in_flight),
            ("lanes", state.lanes.len() as u64),
        ])
    }

    /// Every node of the map.
    ///
    /// # Errors
    /// Forked.
    pub fn node_stats(&self) -> Result<Vec<NodeStats>, ClientError> {
        let state = self.lock_even_closed()?;
        let mut nodes: Vec<NodeStats> = state
            .peers
            .values()
            .map(|peer| {
                let lanes: Vec<_> = peer
                    .lanes
                    .iter()
                    .flatten()
                    .filter_map(|number| state.lanes.get(number))
                    .collect();
                let counters = peer.counters;
                NodeStats {
                    node: peer.entry.id,
                    incarnation: peer.incarnation_seen,
                    tcp_address: peer.entry.tcp_address.clone(),
                    transport: match peer.transport(&state.config) {
                        Some(TransportKind::Tcp) => "tcp",
                        Some(TransportKind::SharedMemory) => "shm",
                        None => "",
                    },
                    state: match peer.health {
                        _ if !peer.entry.up => "down",
                        Health::Good => "good",
                        Health::Bad { .. } => "failed",
                        Health::Trying => "trying",
                    },
                    lanes: lanes.len() as u64,
                    requests_in_flight: lanes.iter().map(|lane| lane.load() as u64).sum(),
                    bytes_in_flight: lanes.iter().map(|lane| lane.outstanding_bytes).sum(),
                    views: lanes.iter().map(|lane| lane.views() as u64).sum(),
                    bytes_received: lanes.iter().map(|lane| lane.bytes_received).sum(),
                    requests: counters.requests,
                    keys: counters.keys,
                    hits: counters.hits,
                    connections: counters.connections,
                    failures: counters.failures,
                    timeouts: counters.timeouts,
                    corrupt: counters.corrupt,
                    last_error: peer.last_error.clone(),
                }
            })
            .collect();
        nodes.sort_by_key(|stats| stats.node);
        Ok(nodes)
    }
}
