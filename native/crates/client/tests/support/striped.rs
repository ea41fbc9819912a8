//! Clients of blocks that are cut into shards, and their nodes.

use holdfast_client::{Client, ClientConfig, OperationKind};
use holdfast_erasure::Scheme;
use holdfast_wire::{KeyStatus, TicketKind};

use super::scripted::ScriptedNode;
use super::{Memory, SPACE, TENANT, call, config, eventually, keys_of, map, random_bytes, ticket};

pub const BLOCK: usize = 96 << 10;
pub const BLOCKS: usize = 16;
pub const DEADLINE_MS: u64 = 20_000;

pub fn scheme() -> Scheme {
    Scheme::new(4, 2).expect("a scheme")
}

pub fn nodes(count: u64) -> Vec<ScriptedNode> {
    (1..=count).map(ScriptedNode::start).collect()
}

/// A client whose only group is owned by `nodes`, in this order.
pub fn striped(nodes: &[&ScriptedNode], scheme: Scheme, block_bytes: usize) -> Client {
    striped_with(config(), nodes, scheme, block_bytes)
}

pub fn striped_with(
    config: ClientConfig,
    nodes: &[&ScriptedNode],
    scheme: Scheme,
    block_bytes: usize,
) -> Client {
    let entries: Vec<_> = nodes.iter().map(|node| node.entry.clone()).collect();
    let client = Client::new(config).expect("client");
    let chunk_bytes = (scheme.shard_bytes(block_bytes) + 32) as u32;
    client
        .set_tenant_ticket(&ticket(TicketKind::Tenant, 0))
        .expect("ticket");
    client
        .bind_space(
            TENANT,
            SPACE,
            block_bytes as u32,
            1,
            Some(scheme),
            &ticket(TicketKind::Space, chunk_bytes),
        )
        .expect("space");
    client.set_map(map(1, &entries, &[])).expect("map");
    client
}

pub fn put(client: &Client, keys: &[[u8; 32]], bytes: &[u8]) -> Vec<KeyStatus> {
    let source = Memory::of(bytes.to_vec());
    let segments = source.segments(keys.len(), bytes.len() / keys.len());
    call(
        client,
        OperationKind::Put,
        keys,
        Some(&segments),
        DEADLINE_MS,
    )
}

pub fn get(client: &Client, keys: &[[u8; 32]], block_bytes: usize) -> (Vec<KeyStatus>, Vec<u8>) {
    let target = Memory::new(keys.len() * block_bytes);
    let segments = target.segments(keys.len(), block_bytes);
    let statuses = call(
        client,
        OperationKind::Get,
        keys,
        Some(&segments),
        DEADLINE_MS,
    );
    (statuses, target.bytes())
}

/// Puts until every node has its chunks: a put does not wait for nodes that take long.
pub fn fill_up(nodes: &[ScriptedNode], client: &Client, keys: &[[u8; 32]], bytes: &[u8]) {
    eventually("every node holds its chunks", || {
        put(client, keys, bytes);
        let filled = |node: &ScriptedNode| node.blocks() == keys.len();
        nodes.iter().all(filled).then_some(())
    });
}

pub fn counter(client: &Client, name: &str) -> u64 {
    let stats = client.stats().expect("stats");
    let found = stats.iter().find(|(known, _)| *known == name);
    found.expect("a counter").1
}

/// Six nodes, a client, and blocks that are stored.
pub fn filled() -> (Vec<ScriptedNode>, Client, Vec<[u8; 32]>, Vec<u8>) {
    let nodes = nodes(6);
    let client = striped(&nodes.iter().collect::<Vec<_>>(), scheme(), BLOCK);
    let keys = keys_of(BLOCKS, 3);
    let bytes = random_bytes(BLOCK * BLOCKS, 3);
    assert_eq!(put(&client, &keys, &bytes), [KeyStatus::Stored; BLOCKS]);
    fill_up(&nodes, &client, &keys, &bytes);
    (nodes, client, keys, bytes)
}
