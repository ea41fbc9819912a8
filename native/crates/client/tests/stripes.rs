//! Blocks that are cut into shards on several nodes.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_client::{Client, OperationKind, Plane, Segments};
use holdfast_erasure::Scheme;
use holdfast_wire::{KeyStatus, TicketKind};
use support::scripted::{Behaviour, ScriptedNode};
use support::{
    Memory, SPACE, TENANT, call, config, eventually, finish, keys_of, map, random_bytes, start,
    ticket,
};

const BLOCK: usize = 96 << 10;
const BLOCKS: usize = 16;
const DEADLINE_MS: u64 = 20_000;

fn scheme() -> Scheme {
    Scheme::new(4, 2).expect("a scheme")
}

fn nodes(count: u64) -> Vec<ScriptedNode> {
    (1..=count).map(ScriptedNode::start).collect()
}

/// A client whose only group is owned by `nodes`, in this order.
fn striped(nodes: &[&ScriptedNode], scheme: Scheme, block_bytes: usize) -> Client {
    let entries: Vec<_> = nodes.iter().map(|node| node.entry.clone()).collect();
    let client = Client::new(config()).expect("client");
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

fn put(client: &Client, keys: &[[u8; 32]], bytes: &[u8]) -> Vec<KeyStatus> {
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

fn get(client: &Client, keys: &[[u8; 32]], block_bytes: usize) -> (Vec<KeyStatus>, Vec<u8>) {
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
fn fill_up(nodes: &[ScriptedNode], client: &Client, keys: &[[u8; 32]], bytes: &[u8]) {
    eventually("every node holds its chunks", || {
        put(client, keys, bytes);
        let filled = |node: &ScriptedNode| node.blocks() == keys.len();
        nodes.iter().all(filled).then_some(())
    });
}

fn counter(client: &Client, name: &str) -> u64 {
    let stats = client.stats().expect("stats");
    let found = stats.iter().find(|(known, _)| *known == name);
    found.expect("a counter").1
}

/// Six nodes, a client, and blocks that are stored.
fn filled() -> (Vec<ScriptedNode>, Client, Vec<[u8; 32]>, Vec<u8>) {
    let nodes = nodes(6);
    let client = striped(&nodes.iter().collect::<Vec<_>>(), scheme(), BLOCK);
    let keys = keys_of(BLOCKS, 3);
    let bytes = random_bytes(BLOCK * BLOCKS, 3);
    assert_eq!(put(&client, &keys, &bytes), [KeyStatus::Stored; BLOCKS]);
    fill_up(&nodes, &client, &keys, &bytes);
    (nodes, client, keys, bytes)
}

#[test]
fn what_is_put_is_got_whatever_the_scheme_and_size() {
    for (data, parity, block_bytes) in [
        (4, 2, 1 << 20),
        (4, 2, 1),
        (1, 1, 5000),
        (3, 2, 100_003),
        (10, 4, 4096),
        (5, 1, 65),
    ] {
        let scheme = Scheme::new(data, parity).expect("a scheme");
        let nodes = nodes(u64::from(data + parity));
        let client = striped(&nodes.iter().collect::<Vec<_>>(), scheme, block_bytes);
        let keys = keys_of(3, 0);
        let bytes = random_bytes(3 * block_bytes, 1);
        assert_eq!(put(&client, &keys, &bytes), [KeyStatus::Stored; 3]);
        fill_up(&nodes, &client, &keys, &bytes);
        assert_eq!(put(&client, &keys, &bytes), [KeyStatus::Present; 3]);
        let (statuses, got) = get(&client, &keys, block_bytes);
        assert_eq!(statuses, [KeyStatus::Hit; 3], "{scheme} {block_bytes}");
        assert!(got == bytes, "{scheme} {block_bytes}");
        assert_eq!(counter(&client, "stripes_computed"), 0);
        let exists = call(&client, OperationKind::Exists, &keys, None, DEADLINE_MS);
        assert_eq!(exists, [KeyStatus::Hit; 3]);
    }
}

#[test]
fn any_two_of_six_may_be_lost() {
    let (nodes, _, keys, bytes) = filled();
    for first in 0..6 {
        for second in first + 1..6 {
            // A fresh client, which has never heard of the two.
            let gone = ScriptedNode::start(90);
            let other = ScriptedNode::start(91);
            let mut owners: Vec<&ScriptedNode> = nodes.iter().collect();
            (owners[first], owners[second]) = (&gone, &other);
            let client = striped(&owners, scheme(), BLOCK);
            let (statuses, got) = get(&client, &keys, BLOCK);
            assert_eq!(
                statuses,
                [KeyStatus::Hit; BLOCKS],
                "without {first} and {second}"
            );
            assert!(got == bytes, "without {first} and {second}");
            let exists = call(&client, OperationKind::Exists, &keys, None, DEADLINE_MS);
            assert_eq!(exists, [KeyStatus::Hit; BLOCKS]);
        }
    }
}

#[test]
fn with_three_of_six_lost_it_is_a_miss() {
    let (nodes, _, keys, _) = filled();
    let empty = [7, 8, 9].map(ScriptedNode::start);
    let owners = [
        &empty[0], &nodes[1], &empty[1], &nodes[3], &nodes[4], &empty[2],
    ];
    let client = striped(&owners, scheme(), BLOCK);
    let (statuses, _) = get(&client, &keys, BLOCK);
    assert_eq!(statuses, [KeyStatus::Miss; BLOCKS]);
    let exists = call(&client, OperationKind::Exists, &keys, None, DEADLINE_MS);
    assert_eq!(exists, [KeyStatus::Miss; BLOCKS]);
}

#[test]
fn the_order_of_owners_carries_no_meaning() {
    let (nodes, _, keys, bytes) = filled();
    for order in [[5, 4, 3, 2, 1, 0], [1, 2, 3, 4, 5, 0], [4, 0, 5, 1, 3, 2]] {
        let owners = order.map(|place| &nodes[place]);
        let client = striped(&owners, scheme(), BLOCK);
        let (statuses, got) = get(&client, &keys, BLOCK);
        assert_eq!(statuses, [KeyStatus::Hit; BLOCKS], "{order:?}");
        assert!(got == bytes, "{order:?}");
    }
}

#[test]
fn scattered_memory_is_read_and_written_in_place() {
    // Blocks of 3 planes with 16 runs of 1,000 bytes, 1,500 apart, in an order of their own.
    const RUN: usize = 1000;
    let plane = |memory: &Memory, number: i64| Plane {
        region: Arc::clone(&memory.region),
        base: number * 30_000,
        block_stride: 100_000,
        runs: 16,
        run_stride: 1500,
        run_bytes: RUN,
    };
    let segments = |memory: &Memory| {
        let planes = (0..3).map(|number| plane(memory, number)).collect();
        Arc::new(Segments::new(planes, vec![3, 0, 2, 1]).expect("segments"))
    };
    let block_bytes = 3 * 16 * RUN;
    let nodes = nodes(6);
    let client = striped(&nodes.iter().collect::<Vec<_>>(), scheme(), block_bytes);
    let keys = keys_of(4, 8);
    let source = Memory::of(random_bytes(400_000, 4));
    let put = call(
        &client,
        OperationKind::Put,
        &keys,
        Some(&segments(&source)),
        DEADLINE_MS,
    );
    assert_eq!(put, [KeyStatus::Stored; 4]);
    for lost in 0..3 {
        let spare = ScriptedNode::start(50);
        let mut owners: Vec<&ScriptedNode> = nodes.iter().collect();
        owners[lost] = &spare;
        let client = striped(&owners, scheme(), block_bytes);
        let target = Memory::new(400_000);
        let got = call(
            &client,
            OperationKind::Get,
            &keys,
            Some(&segments(&target)),
            DEADLINE_MS,
        );
        assert_eq!(got, [KeyStatus::Hit; 4]);
        let (written, read) = (source.bytes(), target.bytes());
        for index in 0..4 {
            for plane in 0..3 {
                for run in 0..16 {
                    let begin = index * 100_000 + plane * 30_000 + run * 1500;
                    let piece = begin..begin + RUN;
                    assert!(written[piece.clone()] == read[piece.clone()], "{piece:?}");
                    assert!(read[piece.end..begin + 1500].iter().all(|byte| *byte == 0));
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_costs_nothing_but_a_report() {
    let (nodes, client, keys, bytes) = filled();
    nodes[2].behave(Behaviour::FlippedBit);
    let (statuses, got) = get(&client, &keys, BLOCK);
    assert_eq!(statuses, [KeyStatus::Hit; BLOCKS]);
    assert!(got == bytes);
    eventually("the node is told", || {
        // Somebody must drive for the report to go out.
        call(
            &client,
            OperationKind::Exists,
            &keys[..1],
            None,
            DEADLINE_MS,
        );
        (nodes[2].reports() > 0).then_some(())
    });
}

#[test]
fn a_silent_node_is_done_without() {
    for behaviour in [Behaviour::Silent, Behaviour::StallMidGet] {
        let (nodes, client, keys, bytes) = filled();
        nodes[1].behave(behaviour);
        for _ in 0..20 {
            let begin = Instant::now();
            let (statuses, got) = get(&client, &keys, BLOCK);
            assert_eq!(statuses, [KeyStatus::Hit; BLOCKS]);
            assert!(got == bytes);
            assert!(begin.elapsed() < Duration::from_secs(10), "waited for it");
        }
    }
}

#[test]
fn nothing_is_written_after_the_end() {
    let (nodes, client, keys, bytes) = filled();
    nodes[0].behave(Behaviour::StallMidGet);
    let target = Memory::new(BLOCK * BLOCKS);
    let segments = target.segments(BLOCKS, BLOCK);
    let got = call(
        &client,
        OperationKind::Get,
        &keys,
        Some(&segments),
        DEADLINE_MS,
    );
    assert_eq!(got, [KeyStatus::Hit; BLOCKS]);
    assert!(target.bytes() == bytes);
    target.fill(0x77);
    nodes[0].behave(Behaviour::Honest);
    eventually("the node is asked again", || {
        let (statuses, got) = get(&client, &keys, BLOCK);
        assert_eq!(statuses, [KeyStatus::Hit; BLOCKS]);
        assert!(got == bytes);
        let stats = client.node_stats().expect("stats");
        let first = stats.iter().find(|stats| stats.node == 1).expect("a node");
        (first.state == "good").then_some(())
    });
    assert!(target.bytes().iter().all(|byte| *byte == 0x77));
}

#[test]
fn a_put_counts_with_one_chunk_more_than_it_needs() {
    let nodes = nodes(6);
    let client = striped(&nodes.iter().collect::<Vec<_>>(), scheme(), BLOCK);
    let bytes = random_bytes(BLOCK * BLOCKS, 6);
    let source = Memory::of(bytes.clone());
    let segments = source.segments(BLOCKS, BLOCK);
    nodes[5].behave(Behaviour::Silent);
    let keys = keys_of(BLOCKS, 6);
    let begin = Instant::now();
    let operation = start(
        &client,
        OperationKind::Put,
        &keys,
        Some(&segments),
        DEADLINE_MS,
    );
    assert_eq!(finish(&operation), [KeyStatus::Stored; BLOCKS]);
    assert!(begin.elapsed() < Duration::from_secs(10), "waited for it");
    let reasons = &operation.result().expect("done").reasons;
    assert_eq!(reasons["copy_lost"], BLOCKS as u64);
    let (statuses, got) = get(&client, &keys, BLOCK);
    assert_eq!(statuses, [KeyStatus::Hit; BLOCKS]);
    assert!(got == bytes);
}

#[test]
fn a_put_that_fails_leaves_no_chunks() {
    let nodes = nodes(6);
    let client = striped(&nodes.iter().collect::<Vec<_>>(), scheme(), BLOCK);
    nodes[1].behave(Behaviour::Busy);
    nodes[4].behave(Behaviour::Busy);
    let keys = keys_of(BLOCKS, 7);
    let bytes = random_bytes(BLOCK * BLOCKS, 7);
    assert_eq!(put(&client, &keys, &bytes), [KeyStatus::Busy; BLOCKS]);
    let other = keys_of(1, 99);
    eventually("the chunks are gone", || {
        // Somebody must drive for the removals to go out.
        call(&client, OperationKind::Exists, &other, None, DEADLINE_MS);
        nodes.iter().all(|node| node.blocks() == 0).then_some(())
    });
}

#[test]
fn chunks_of_two_puts_are_never_mixed() {
    let (nodes, client, keys, old) = filled();
    // Three nodes lose theirs, and other bytes are put.
    let half: Vec<&ScriptedNode> = nodes[3..].iter().collect();
    let half = striped(&half, Scheme::new(2, 1).expect("a scheme"), BLOCK);
    call(&half, OperationKind::Delete, &keys, None, DEADLINE_MS);
    assert!(nodes[3..].iter().all(|node| node.blocks() == 0));
    let new = random_bytes(BLOCK * BLOCKS, 33);
    put(&client, &keys, &new);
    let (statuses, _) = get(&client, &keys, BLOCK);
    assert_eq!(statuses, [KeyStatus::Miss; BLOCKS]);
    assert_eq!(counter(&client, "stripes_mixed"), BLOCKS as u64);
    // What cannot be read makes room for what can.
    eventually("one of the two is there whole", || {
        put(&client, &keys, &new);
        let (statuses, got) = get(&client, &keys, BLOCK);
        for (number, status) in statuses.iter().enumerate() {
            let block = number * BLOCK..(number + 1) * BLOCK;
            let read = &got[block.clone()];
            assert!(
                *status != KeyStatus::Hit || read == &new[block.clone()] || read == &old[block]
            );
        }
        (statuses == [KeyStatus::Hit; BLOCKS]).then_some(())
    });
}

#[test]
fn puts_of_one_block_at_once_leave_it_stored() {
    let nodes = nodes(6);
    let owners: Vec<&ScriptedNode> = nodes.iter().collect();
    let bytes = random_bytes(BLOCK * BLOCKS, 21);
    for round in 0..5 {
        let keys = keys_of(BLOCKS, 100 + round);
        std::thread::scope(|scope| {
            let puts: Vec<_> = (0..3)
                .map(|_| {
                    let client = striped(&owners, scheme(), BLOCK);
                    let (keys, bytes) = (&keys, &bytes);
                    scope.spawn(move || put(&client, keys, bytes))
                })
                .collect();
            for put in puts {
                for status in put.join().expect("a put") {
                    let there = matches!(status, KeyStatus::Stored | KeyStatus::Present);
                    assert!(there, "{status:?}");
                }
            }
        });
        let (statuses, got) = get(&striped(&owners, scheme(), BLOCK), &keys, BLOCK);
        assert_eq!(statuses, [KeyStatus::Hit; BLOCKS]);
        assert!(got == bytes);
    }
}

#[test]
fn pins_count_where_enough_chunks_are_held() {
    let (nodes, client, keys, _) = filled();
    let mut asked = keys.clone();
    asked.extend(keys_of(1, 4321));
    let pinned = call(&client, OperationKind::Pin, &asked, None, DEADLINE_MS);
    assert_eq!(pinned[..BLOCKS], [KeyStatus::Hit; BLOCKS]);
    assert_eq!(pinned[BLOCKS], KeyStatus::Miss);
    drop(nodes);
}

#[test]
fn delete_removes_every_chunk() {
    let (nodes, client, keys, _) = filled();
    let deleted = call(&client, OperationKind::Delete, &keys, None, DEADLINE_MS);
    assert_eq!(deleted, [KeyStatus::Hit; BLOCKS]);
    assert!(nodes.iter().all(|node| node.blocks() == 0));
    assert_eq!(get(&client, &keys, BLOCK).0, [KeyStatus::Miss; BLOCKS]);
}

#[test]
fn a_healthy_read_asks_for_no_more_than_it_needs() {
    let (nodes, client, keys, _) = filled();
    let before: Vec<u64> = nodes.iter().map(ScriptedNode::requests).collect();
    let (statuses, _) = get(&client, &keys, BLOCK);
    assert_eq!(statuses, [KeyStatus::Hit; BLOCKS]);
    let asked = nodes
        .iter()
        .zip(before)
        .filter(|(node, before)| node.requests() > *before);
    // A node that takes long on a busy machine is done without.
    let most = 4 + counter(&client, "chunks_spare");
    assert!(
        asked.count() as u64 <= most,
        "more nodes were asked than hold the data"
    );
}

#[test]
fn nodes_that_were_not_asked_hear_of_what_was_read() {
    let (nodes, client, keys, _) = filled();
    eventually("the others are told", || {
        assert_eq!(get(&client, &keys, BLOCK).0, [KeyStatus::Hit; BLOCKS]);
        let told = |node: &ScriptedNode| node.touched() >= BLOCKS as u64;
        nodes[4..].iter().all(told).then_some(())
    });
    let reads = counter(&client, "operations");
    let told: u64 = nodes.iter().map(ScriptedNode::touched).sum();
    assert!(told <= 2 * reads * BLOCKS as u64, "{told} in {reads} calls");
}

#[test]
fn keys_that_are_absent_are_asked_for_no_longer_than_needed() {
    let (nodes, client, keys, bytes) = filled();
    let mut mixed = keys.clone();
    mixed.extend(keys_of(BLOCKS, 1234));
    let (statuses, got) = get(&client, &mixed, BLOCK);
    assert_eq!(statuses[..BLOCKS], [KeyStatus::Hit; BLOCKS]);
    assert_eq!(statuses[BLOCKS..], [KeyStatus::Miss; BLOCKS]);
    assert!(got[..BLOCK * BLOCKS] == bytes);
    drop(nodes);
}

#[test]
fn a_cancelled_read_ends_at_once() {
    let (nodes, client, keys, _) = filled();
    for node in &nodes {
        node.behave(Behaviour::Silent);
    }
    let target = Memory::new(BLOCK * BLOCKS);
    let segments = target.segments(BLOCKS, BLOCK);
    let operation = start(
        &client,
        OperationKind::Get,
        &keys,
        Some(&segments),
        DEADLINE_MS,
    );
    operation.cancel().expect("cancel");
    assert!(operation.done().expect("look"));
    let statuses: HashSet<KeyStatus> = finish(&operation).into_iter().collect();
    assert_eq!(statuses, HashSet::from([KeyStatus::Cancelled]));
}

#[test]
fn all_silent_ends_at_the_deadline() {
    let (nodes, client, keys, _) = filled();
    for node in &nodes {
        node.behave(Behaviour::Silent);
    }
    let target = Memory::new(BLOCK * BLOCKS);
    let segments = target.segments(BLOCKS, BLOCK);
    let begin = Instant::now();
    let statuses = call(&client, OperationKind::Get, &keys, Some(&segments), 500);
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert!(!statuses.contains(&KeyStatus::Hit) && !statuses.contains(&KeyStatus::Miss));
}
