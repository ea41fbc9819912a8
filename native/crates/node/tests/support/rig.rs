use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_engine::EngineConfig;
use holdfast_node::{Clock, Identity, Node, NodeConfig, NodeStats};
use holdfast_wire::{TICKET_BYTES, Ticket, TicketKind, TransportKind};

use super::frames::Caller;

pub const CLUSTER: [u8; 16] = [7; 16];
pub const NODE: u64 = 3;
pub const INCARNATION: u64 = 77;
pub const TENANT: u32 = 5;
pub const SPACE: u32 = 9;
pub const BLOCK_BYTES: u32 = 64 << 10;
pub const EPOCH: u64 = 4;
pub const GROUPS: u32 = 64;
const KEY: [u8; 32] = [42; 32];
const KEY_ID: u64 = 11;
const TICKET_LIFE_S: u64 = 600;

static NEXT_SOCKET: AtomicU64 = AtomicU64::new(0);

/// One node that owns every group, with a clock of the test's own for tickets.
pub struct Rig {
    pub node: Node,
    pub now_s: Arc<AtomicU64>,
    unix_path: PathBuf,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// A node whose settings `change` has changed.
    pub fn with(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = NodeConfig::new(Identity {
            cluster: CLUSTER,
            node: NODE,
            incarnation: INCARNATION,
        });
        config.engine = EngineConfig {
            arena_bytes: 64 << 20,
            extent_bytes: 4 << 20,
            prefault: false,
            huge_pages: false,
            ..EngineConfig::default()
        };
        config.fault_injection = true;
        change(&mut config);
        let now_s = Arc::new(AtomicU64::new(1_000_000));
        let clock = Arc::clone(&now_s);
        let clock = Clock::with_wall(move || clock.load(Ordering::SeqCst));
        let node = Node::new(config, clock).expect("a node");
        node.set_ticket_keys(&[(KEY_ID, public_key())]);
        node.set_route(EPOCH, GROUPS, &[0xFF; GROUPS as usize / 8])
            .expect("a route");
        let number = NEXT_SOCKET.fetch_add(1, Ordering::Relaxed);
        let name = format!("holdfast-node-{}-{number}.sock", std::process::id());
        let unix_path = std::env::temp_dir().join(name);
        node.start("127.0.0.1:0", Some(&unix_path))
            .expect("a start");
        Self {
            node,
            now_s,
            unix_path,
        }
    }

    /// A connection over which nothing was said yet.
    pub fn connect(&self, transport: TransportKind) -> Caller {
        match transport {
            TransportKind::Tcp => Caller::tcp(self.node.tcp_address().expect("a started node")),
            TransportKind::SharedMemory => Caller::unix(&self.unix_path),
        }
    }

    /// A stream connection over the Unix socket.
    pub fn connect_unix(&self) -> Caller {
        Caller::unix(&self.unix_path)
    }

    /// A tenant's connection with its space bound.
    pub fn open(&self, transport: TransportKind) -> Caller {
        let mut caller = self.connect(transport);
        caller.greet(transport, &self.tenant_ticket(TENANT));
        caller.bind(&self.space_ticket(TENANT, SPACE, BLOCK_BYTES));
        caller
    }

    /// Another node's connection.
    pub fn open_node(&self) -> Caller {
        let mut caller = self.connect(TransportKind::Tcp);
        caller.greet(TransportKind::Tcp, &self.node_ticket(8));
        caller
    }

    pub fn ticket(&self, kind: TicketKind) -> Ticket {
        let now_s = self.now_s.load(Ordering::SeqCst);
        Ticket {
            kind,
            key_id: KEY_ID,
            cluster: CLUSTER,
            tenant: 0,
            space: 0,
            block_bytes: 0,
            ttl_s: 0,
            priority: 0,
            copies: 1,
            node: 0,
            issued_at_s: now_s,
            expires_at_s: now_s + TICKET_LIFE_S,
        }
    }

    pub fn tenant_ticket(&self, tenant: u32) -> [u8; TICKET_BYTES] {
        let mut ticket = self.ticket(TicketKind::Tenant);
        ticket.tenant = tenant;
        ticket.sign(&KEY)
    }

    pub fn space_ticket(&self, tenant: u32, space: u32, block_bytes: u32) -> [u8; TICKET_BYTES] {
        let mut ticket = self.ticket(TicketKind::Space);
        (ticket.tenant, ticket.space, ticket.block_bytes) = (tenant, space, block_bytes);
        ticket.sign(&KEY)
    }

    pub fn node_ticket(&self, node: u64) -> [u8; TICKET_BYTES] {
        let mut ticket = self.ticket(TicketKind::Node);
        ticket.node = node;
        ticket.sign(&KEY)
    }

    /// Lets the time of day go on.
    pub fn pass_s(&self, seconds: u64) {
        self.now_s.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn stats(&self) -> NodeStats {
        self.node.stats()
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.stats().counters[name]
    }

    /// Nothing is held by anybody: no room of unfinished puts, no block of unsent answers.
    pub fn is_at_rest(&self) -> bool {
        let stats = self.stats();
        stats.engine.blocks_in_flight == 0
            && stats.engine.pins == 0
            && stats.granted_bytes == 0
            && stats.pinned_bytes == 0
    }
}

/// Signs with a key that the node was told of.
pub fn sign(ticket: &Ticket) -> [u8; TICKET_BYTES] {
    ticket.sign(&KEY)
}

fn public_key() -> [u8; 32] {
    Ticket::public_key(&KEY)
}
