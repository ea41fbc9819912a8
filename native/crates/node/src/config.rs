use holdfast_engine::EngineConfig;
use holdfast_wire::limits::PAYLOAD_BYTES_MAX;

use crate::NodeError;

/// Who a node is. Callers name it in their hello and are refused when it is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster: [u8; 16],
    /// The node's id in the cluster map, never 0.
    pub node: u64,
    /// New whenever the node's memory starts empty.
    pub incarnation: u64,
}

/// What one node is made of. Fixed for its life.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Who it is.
    pub identity: Identity,
    /// Its chunk engine.
    pub engine: EngineConfig,
    /// Threads that serve connections, 1 to 64.
    pub reactors: u32,
    /// How long a reactor polls without sleeping after its last work, microseconds, at most one
    /// second. Each spinning reactor takes a whole core.
    pub spin_us: u32,
    /// Greeted connections at a time, 1 to 65,536; a further one is refused as busy.
    pub connections_max: u32,
    /// Payload that one connection may have granted and not yet delivered, bytes.
    pub grant_bytes_max: u64,
    /// The same over all connections of a tenant, bytes.
    pub tenant_bytes_in_flight_max: u64,
    /// Blocks that the queued answers of one tenant may hold in place, bytes; half of it for one
    /// connection.
    pub pin_bytes_max: u64,
    /// A connection without any request for this long is closed, milliseconds.
    pub idle_deadline_ms: u32,
    /// Lets tests damage stored blocks.
    pub fault_injection: bool,
}

impl NodeConfig {
    /// The defaults for a node called `identity`.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            engine: EngineConfig::default(),
            reactors: 1,
            spin_us: 0,
            connections_max: 1024,
            grant_bytes_max: 256 << 20,
            tenant_bytes_in_flight_max: 1 << 30,
            pin_bytes_max: 1 << 30,
            idle_deadline_ms: 300_000,
            fault_injection: false,
        }
    }

    /// Checks every rule that the fields' descriptions state.
    ///
    /// # Errors
    /// [`NodeError::Config`] for the first rule broken; the engine's own come when it is made.
    pub fn validate(self) -> Result<Self, NodeError> {
        let rules = [
            ("node", self.identity.node, 1, u64::MAX),
            ("reactors", u64::from(self.reactors), 1, 64),
            ("spin_us", u64::from(self.spin_us), 0, 1_000_000),
            (
                "connections_max",
                u64::from(self.connections_max),
                1,
                65_536,
            ),
            (
                "grant_bytes_max",
                self.grant_bytes_max,
                1,
                PAYLOAD_BYTES_MAX,
            ),
            (
                "tenant_bytes_in_flight_max",
                self.tenant_bytes_in_flight_max,
                1,
                u64::MAX,
            ),
            ("pin_bytes_max", self.pin_bytes_max, 2, u64::MAX),
            (
                "idle_deadline_ms",
                u64::from(self.idle_deadline_ms),
                1,
                u64::from(u32::MAX),
            ),
        ];
        for (field, value, min, max) in rules {
            if value < min || value > max {
                return Err(NodeError::Config {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(self)
    }
}
