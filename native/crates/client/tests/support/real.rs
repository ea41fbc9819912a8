//! Real nodes in this process.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use holdfast_client::NodeEntry;
use holdfast_engine::EngineConfig;
use holdfast_node::{Clock, Identity, Node, NodeConfig};
use holdfast_wire::Ticket;

use super::{CLUSTER, SIGNER, SIGNER_ID, entry};

/// Boot id that nodes and clients of a test agree on.
pub const BOOT: &str = "this boot";

static NEXT: AtomicU64 = AtomicU64::new(0);

pub struct RealNode {
    pub node: Node,
    pub entry: NodeEntry,
}

impl RealNode {
    /// A node that owns every group.
    pub fn start(id: u64, arena_mib: u64) -> Self {
        Self::start_with(id, arena_mib, |_| {})
    }

    pub fn start_with(id: u64, arena_mib: u64, adjust: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = NodeConfig::new(Identity {
            cluster: CLUSTER,
            node: id,
            incarnation: 1,
        });
        config.engine = EngineConfig {
            arena_bytes: arena_mib << 20,
            extent_bytes: 4 << 20,
            prefault: false,
            huge_pages: false,
            ..EngineConfig::default()
        };
        config.fault_injection = true;
        adjust(&mut config);
        let node = Node::new(config, Clock::system()).expect("a node");
        node.set_ticket_keys(&[(SIGNER_ID, Ticket::public_key(&SIGNER))]);
        node.set_route(1, 1, &[1]).expect("a route");
        let path = socket_path(id);
        node.start("127.0.0.1:0", Some(&path)).expect("started");
        let address = node.tcp_address().expect("listening").to_string();
        let mut entry = entry(id, &address);
        entry.unix_path = path.to_string_lossy().into_owned();
        BOOT.clone_into(&mut entry.boot_id);
        Self { node, entry }
    }
}

fn socket_path(id: u64) -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!(
        "holdfast-client-{}-{number}-{id}.sock",
        std::process::id()
    ))
}
