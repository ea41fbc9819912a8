//! Reads of blocks that are cut into shards on several nodes.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_client::{OperationKind, Plane, Segments};
use holdfast_erasure::Scheme;
use holdfast_wire::KeyStatus;
use support::scripted::{Behaviour, ScriptedNode};
use support::striped::{
    BLOCK, BLOCKS, DEADLINE_MS, counter, fill_up, filled, get, nodes, put, scheme, striped,
};
use support::{Memory, call, eventually, finish, keys_of, random_bytes, start};

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
    // With and without zeros behind the end of a block.
    for block_bytes in [BLOCK, 9000, 130] {
        let nodes = nodes(6);
        let client = striped(&nodes.iter().collect::<Vec<_>>(), scheme(), block_bytes);
        let keys = keys_of(BLOCKS, 3);
        let bytes = random_bytes(block_bytes * BLOCKS, 3);
        fill_up(&nodes, &client, &keys, &bytes);
        for order in [[5, 4, 3, 2, 1, 0], [1, 2, 3, 4, 5, 0], [4, 0, 5, 1, 3, 2]] {
            let owners = order.map(|place| &nodes[place]);
            let client = striped(&owners, scheme(), block_bytes);
            let (statuses, got) = get(&client, &keys, block_bytes);
            assert_eq!(
                statuses,
                [KeyStatus::Hit; BLOCKS],
                "{order:?} {block_bytes}"
            );
            assert!(got == bytes, "{order:?} {block_bytes}");
            assert_eq!(counter(&client, "corrupt"), 0);
        }
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
