//! Puts, pins and deletes of blocks that are cut into shards on several nodes.

mod support;

use std::time::{Duration, Instant};

use holdfast_client::{ClientError, Keys, OperationKind, Request};
use holdfast_erasure::Scheme;
use holdfast_wire::KeyStatus;
use support::scripted::{Behaviour, ScriptedNode};
use support::striped::{
    BLOCK, BLOCKS, DEADLINE_MS, counter, filled, get, nodes, put, scheme, striped, striped_with,
};
use support::{Memory, SPACE, call, config, eventually, finish, keys_of, map, random_bytes, start};

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
    // With four of its chunks a block could be read, and would stay.
    for number in [1, 3, 4] {
        nodes[number].behave(Behaviour::Busy);
    }
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
fn chunks_are_removed_only_when_every_node_was_heard() {
    let (nodes, client, keys, _) = filled();
    // Two shards of another version, and one node that cannot be asked: the old one may be whole.
    let pair: Vec<&ScriptedNode> = nodes[4..].iter().collect();
    let pair = striped(&pair, Scheme::new(1, 1).expect("a scheme"), BLOCK);
    call(&pair, OperationKind::Delete, &keys, None, DEADLINE_MS);
    put(&client, &keys, &random_bytes(BLOCK * BLOCKS, 34));
    nodes[0].behave(Behaviour::Silent);
    let target = Memory::new(BLOCK * BLOCKS);
    let segments = target.segments(BLOCKS, BLOCK);
    let got = call(&client, OperationKind::Get, &keys, Some(&segments), 1000);
    assert!(!got.contains(&KeyStatus::Hit));
    assert_eq!(counter(&client, "stripes_mixed"), 0);
    nodes[0].behave(Behaviour::Honest);
    eventually("the first version is read", || {
        (get(&client, &keys, BLOCK).0 == [KeyStatus::Hit; BLOCKS]).then_some(())
    });
}

#[test]
fn one_shard_on_every_node_is_a_miss_and_nothing_more() {
    // Every owner is given the same shard: a client to which each is the only first one.
    let nodes = nodes(6);
    let keys = keys_of(1, 5);
    let bytes = random_bytes(BLOCK, 5);
    for node in &nodes {
        let spares: Vec<ScriptedNode> = (20..25).map(ScriptedNode::start).collect();
        let mut owners = vec![node];
        owners.extend(&spares);
        put(&striped(&owners, scheme(), BLOCK), &keys, &bytes);
        assert_eq!(node.blocks(), 1);
    }
    let client = striped(&nodes.iter().collect::<Vec<_>>(), scheme(), BLOCK);
    assert_eq!(get(&client, &keys, BLOCK).0, [KeyStatus::Miss]);
    assert!(nodes.iter().all(|node| node.blocks() == 1), "removed");
    assert_eq!(counter(&client, "stripes_mixed"), 0);
}

#[test]
fn a_put_out_of_time_takes_nothing_from_others() {
    let nodes = nodes(6);
    let owners: Vec<&ScriptedNode> = nodes.iter().collect();
    let (client, hasty) = (
        striped(&owners, scheme(), BLOCK),
        striped(&owners, scheme(), BLOCK),
    );
    let bytes = random_bytes(BLOCK * BLOCKS, 8);
    let source = Memory::of(bytes.clone());
    let segments = source.segments(BLOCKS, BLOCK);
    for round in 0..30 {
        let keys = keys_of(BLOCKS, 500 + round);
        let early = start(
            &hasty,
            OperationKind::Put,
            &keys,
            Some(&segments),
            1 + round % 5,
        );
        let statuses = put(&client, &keys, &bytes);
        finish(&early);
        let kept = |status: &KeyStatus| matches!(status, KeyStatus::Stored | KeyStatus::Present);
        let (found, _) = get(&client, &keys, BLOCK);
        for (status, found) in statuses.iter().zip(found) {
            assert!(
                !kept(status) || found == KeyStatus::Hit,
                "{status:?} {found:?}"
            );
        }
    }
}

#[test]
fn where_too_few_nodes_can_be_asked_nothing_is_sent() {
    let nodes = nodes(6);
    let mut entries: Vec<_> = nodes.iter().map(|node| node.entry.clone()).collect();
    (entries[1].up, entries[4].up) = (false, false);
    let client = striped(&nodes.iter().collect::<Vec<_>>(), scheme(), BLOCK);
    client.set_map(map(2, &entries, &[])).expect("map");
    let keys = keys_of(BLOCKS, 7);
    let statuses = put(&client, &keys, &random_bytes(BLOCK * BLOCKS, 7));
    assert_eq!(statuses, [KeyStatus::Unreachable; BLOCKS]);
    assert!(
        nodes
            .iter()
            .all(|node| node.requests() == 0 && node.blocks() == 0)
    );
}

#[test]
fn memory_for_parity_counts_as_in_flight() {
    let nodes = nodes(2);
    let mut config = config();
    config.bytes_in_flight_max = (BLOCK * BLOCKS * 3 / 2) as u64;
    let client = striped_with(
        config,
        &nodes.iter().collect::<Vec<_>>(),
        Scheme::new(1, 1).expect("a scheme"),
        BLOCK,
    );
    let source = Memory::new(BLOCK * BLOCKS);
    let segments = source.segments(BLOCKS, BLOCK);
    let refused = client.start(Request {
        kind: OperationKind::Put,
        space: SPACE,
        keys: Keys::Packed {
            bytes: keys_of(BLOCKS, 1).as_flattened(),
            key_bytes: 32,
        },
        segments: Some(segments),
        first_position: 0,
        duration_ms: 0,
        deadline_ms: DEADLINE_MS,
        notify: false,
    });
    assert!(matches!(refused, Err(ClientError::InFlight { .. })));
}

#[test]
fn delete_removes_every_chunk() {
    let (nodes, client, keys, _) = filled();
    let deleted = call(&client, OperationKind::Delete, &keys, None, DEADLINE_MS);
    assert_eq!(deleted, [KeyStatus::Hit; BLOCKS]);
    assert!(nodes.iter().all(|node| node.blocks() == 0));
    assert_eq!(get(&client, &keys, BLOCK).0, [KeyStatus::Miss; BLOCKS]);
}
