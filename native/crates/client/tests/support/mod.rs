//! What the tests of this crate share: memory, keys, clients, and a node that does as it is told.
#![allow(dead_code)]

pub mod real;
pub mod scripted;
pub mod striped;

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_client::{
    Client, ClientConfig, ClusterMap, Keys, NodeEntry, Operation, OperationKind, Plane, Region,
    Request, Segments, TransportChoice,
};
use holdfast_wire::{KeyStatus, TICKET_BYTES, Ticket, TicketKind};

pub const CLUSTER: [u8; 16] = [7; 16];
pub const TENANT: u32 = 3;
pub const SPACE: u32 = 11;
pub const SIGNER: [u8; 32] = [42; 32];
pub const SIGNER_ID: u64 = 5;
/// Longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Memory of a test, with its region.
pub struct Memory {
    bytes: Arc<Vec<u8>>,
    pub region: Arc<Region>,
}

impl Memory {
    pub fn new(nbytes: usize) -> Self {
        Self::of(vec![0; nbytes])
    }

    pub fn of(bytes: Vec<u8>) -> Self {
        let bytes = Arc::new(bytes);
        let (address, nbytes) = (bytes.as_ptr() as usize, bytes.len());
        // SAFETY: the vector is kept by the owner and never resized.
        let region =
            unsafe { Region::new(address, nbytes, false, Box::new(Arc::clone(&bytes)), None) };
        Self {
            bytes,
            region: Arc::new(region),
        }
    }

    /// What lies there now.
    pub fn bytes(&self) -> Vec<u8> {
        let bytes = std::hint::black_box(&self.bytes);
        // Read through the address, because the client writes there behind the vector's back.
        // SAFETY: the vector is alive; nothing writes while a test looks.
        unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()).to_vec() }
    }

    /// Fills it behind the client's back.
    pub fn fill(&self, value: u8) {
        let bytes = std::hint::black_box(&self.bytes);
        // SAFETY: the vector is alive; no operation uses it while a test fills it.
        unsafe { std::ptr::write_bytes(bytes.as_ptr().cast_mut(), value, bytes.len()) };
    }

    /// Blocks of `block_bytes` one behind the other.
    pub fn segments(&self, blocks: usize, block_bytes: usize) -> Arc<Segments> {
        let plane = Plane {
            region: Arc::clone(&self.region),
            base: 0,
            block_stride: block_bytes as i64,
            runs: 1,
            run_stride: 0,
            run_bytes: block_bytes,
        };
        let indices = (0..blocks as i64).collect();
        Arc::new(Segments::new(vec![plane], indices).expect("segments in bounds"))
    }
}

/// `blocks` blocks of bytes that differ everywhere.
pub fn random_bytes(nbytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(nbytes + 8);
    while bytes.len() < nbytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(nbytes);
    bytes
}

pub fn keys_of(count: usize, salt: u64) -> Vec<[u8; 32]> {
    (0..count as u64)
        .map(|number| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            key[8..16].copy_from_slice(&salt.to_le_bytes());
            key
        })
        .collect()
}

pub fn ticket(kind: TicketKind, block_bytes: u32) -> [u8; TICKET_BYTES] {
    Ticket {
        kind,
        key_id: SIGNER_ID,
        cluster: CLUSTER,
        tenant: TENANT,
        space: if kind == TicketKind::Space { SPACE } else { 0 },
        block_bytes,
        ttl_s: 0,
        priority: 0,
        copies: 1,
        node: 0,
        issued_at_s: 0,
        expires_at_s: u64::MAX / 2,
    }
    .sign(&SIGNER)
}

pub fn config() -> ClientConfig {
    let mut config = ClientConfig::new(CLUSTER, [9; 16], 1);
    config.transport = TransportChoice::Tcp;
    config
}

pub fn entry(id: u64, tcp_address: &str) -> NodeEntry {
    NodeEntry {
        id,
        incarnation: 1,
        tcp_address: tcp_address.to_owned(),
        unix_path: String::new(),
        boot_id: String::new(),
        up: true,
    }
}

/// One group, owned by the nodes in order.
pub fn map(epoch: u64, owners: &[NodeEntry], previous: &[NodeEntry]) -> ClusterMap {
    let width = owners.len().max(previous.len());
    let row = |first: usize, count: usize| -> Vec<i32> {
        (0..width)
            .map(|at| if at < count { (first + at) as i32 } else { -1 })
            .collect()
    };
    let nodes: Vec<NodeEntry> = owners.iter().chain(previous).cloned().collect();
    ClusterMap::new(
        epoch,
        1,
        width,
        row(0, owners.len()),
        row(owners.len(), previous.len()),
        nodes,
    )
    .expect("a map that fits")
}

/// A client with a ticket, one bound space and a map.
pub fn client(config: ClientConfig, block_bytes: u32, copies: u8, map: ClusterMap) -> Client {
    let client = Client::new(config).expect("client");
    client
        .set_tenant_ticket(&ticket(TicketKind::Tenant, 0))
        .expect("ticket");
    client
        .bind_space(
            TENANT,
            SPACE,
            block_bytes,
            copies,
            None,
            &ticket(TicketKind::Space, block_bytes),
        )
        .expect("space");
    client.set_map(map).expect("map");
    client
}

/// A call on keys of 32 bytes.
pub fn start(
    client: &Client,
    kind: OperationKind,
    keys: &[[u8; 32]],
    segments: Option<&Arc<Segments>>,
    deadline_ms: u64,
) -> Operation {
    client
        .start(Request {
            kind,
            space: SPACE,
            keys: Keys::Packed {
                bytes: keys.as_flattened(),
                key_bytes: 32,
            },
            segments: segments.cloned(),
            first_position: 0,
            duration_ms: 1000,
            deadline_ms,
            notify: false,
        })
        .expect("started")
}

/// Waits for an operation and returns its statuses.
pub fn finish(operation: &Operation) -> Vec<KeyStatus> {
    assert!(
        operation.wait(Instant::now() + PATIENCE).expect("wait"),
        "an operation outlived its deadline"
    );
    operation.result().expect("done").statuses.clone()
}

/// Starts and waits.
pub fn call(
    client: &Client,
    kind: OperationKind,
    keys: &[[u8; 32]],
    segments: Option<&Arc<Segments>>,
    deadline_ms: u64,
) -> Vec<KeyStatus> {
    finish(&start(client, kind, keys, segments, deadline_ms))
}

/// Repeats `attempt` until it gives something; a test's condition with a deadline.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < until, "never came true: {what}");
        std::thread::yield_now();
    }
}

/// Bytes of a block.
pub const BLOCK: usize = 64 << 10;
/// Blocks of a set.
pub const BLOCKS: usize = 32;

/// A client of one node that holds `BLOCKS` blocks.
pub fn filled(node: &scripted::ScriptedNode) -> (Client, Vec<[u8; 32]>, Vec<u8>) {
    let client = client(
        config(),
        BLOCK as u32,
        1,
        map(1, std::slice::from_ref(&node.entry), &[]),
    );
    let keys = keys_of(BLOCKS, 0);
    let bytes = random_bytes(BLOCK * BLOCKS, 5);
    let source = Memory::of(bytes.clone());
    let segments = source.segments(BLOCKS, BLOCK);
    let stored = call(&client, OperationKind::Put, &keys, Some(&segments), 20_000);
    assert_eq!(stored, vec![KeyStatus::Stored; BLOCKS]);
    (client, keys, bytes)
}
