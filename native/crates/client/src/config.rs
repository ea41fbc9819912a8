use crate::ClientError;

/// Which transport the client asks nodes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportChoice {
    /// Shared memory where a node runs on this host, TCP everywhere else.
    Auto,
    /// TCP always.
    Tcp,
    /// Shared memory only: nodes of other hosts are unreachable.
    SharedMemory,
}

/// Settings of one client. Fixed for its life.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Cluster that the nodes must belong to.
    pub cluster: [u8; 16],
    /// Random number of this process, for the nodes' logs.
    pub client: [u8; 16],
    /// Connections to each node, 1 to 16.
    pub lanes: usize,
    /// How long a waiting thread polls before it blocks, microseconds, at most 1,000,000.
    pub spin_us: u32,
    /// Operations that may be under way, at least 1.
    pub operations_max: usize,
    /// Payload bytes of the operations under way, at least 1.
    pub bytes_in_flight_max: u64,
    /// A connection that is not greeted by then is given up, milliseconds, 1 to 60,000.
    pub connect_timeout_ms: u32,
    /// First pause before a failed node is tried again, milliseconds, at least 1.
    pub retry_backoff_ms_min: u32,
    /// Longest such pause, milliseconds, not below the first.
    pub retry_backoff_ms_max: u32,
    /// This host's boot id; empty when it cannot share memory with any node.
    pub boot_id: String,
    /// Which transport to ask for.
    pub transport: TransportChoice,
    /// Seed of write ids and of the jitter in pauses.
    pub seed: u64,
}

impl ClientConfig {
    /// The defaults, for a cluster and a process.
    #[must_use]
    pub fn new(cluster: [u8; 16], client: [u8; 16], seed: u64) -> Self {
        Self {
            cluster,
            client,
            lanes: 2,
            spin_us: 0,
            operations_max: 4096,
            bytes_in_flight_max: 4 << 30,
            connect_timeout_ms: 1000,
            retry_backoff_ms_min: 50,
            retry_backoff_ms_max: 2000,
            boot_id: String::new(),
            transport: TransportChoice::Auto,
            seed,
        }
    }

    /// Checks every range that the fields' descriptions state.
    ///
    /// # Errors
    /// [`ClientError::Config`] naming the first field out of range.
    pub fn validate(&self) -> Result<(), ClientError> {
        let longest = u64::from(self.retry_backoff_ms_max);
        let rules = [
            ("lanes", self.lanes as u64, 1, 16),
            ("spin_us", u64::from(self.spin_us), 0, 1_000_000),
            ("operations_max", self.operations_max as u64, 1, 1 << 20),
            ("bytes_in_flight_max", self.bytes_in_flight_max, 1, 1 << 50),
            (
                "connect_timeout_ms",
                u64::from(self.connect_timeout_ms),
                1,
                60_000,
            ),
            ("retry_backoff_ms_max", longest, 1, 600_000),
            (
                "retry_backoff_ms_min",
                u64::from(self.retry_backoff_ms_min),
                1,
                longest,
            ),
        ];
        for (field, value, least, most) in rules {
            if value < least || value > most {
                return Err(ClientError::Config {
                    field,
                    value,
                    least,
                    most,
                });
            }
        }
        Ok(())
    }
}
