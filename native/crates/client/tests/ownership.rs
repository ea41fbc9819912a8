//! Writes while a node and the client serve by different cluster maps.

mod support;

use std::time::{Duration, Instant};

use holdfast_client::{Client, ClusterMap, Operation, OperationKind, TransportChoice};
use holdfast_wire::KeyStatus;
use support::real::{BOOT, RealNode};
use support::scripted::{Behaviour, ScriptedNode};
use support::{
    Memory, call, client, config, eventually, finish, keys_of, map, random_bytes, start,
};

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 16;
const LONG_MS: u64 = 20_000;

fn client_of(transport: TransportChoice, copies: u8, map: ClusterMap) -> Client {
    let mut settings = config();
    settings.transport = transport;
    BOOT.clone_into(&mut settings.boot_id);
    client(settings, BLOCK as u32, copies, map)
}

fn source(seed: u64) -> Memory {
    Memory::of(random_bytes(BLOCK * BLOCKS, seed))
}

fn stat(client: &Client, name: &str) -> u64 {
    let stats = client.stats().expect("stats");
    let found = stats.iter().find(|(known, _)| *known == name);
    found.expect("a known name").1
}

/// Drives an operation until its keys were asked for more than once.
fn until_asked_again(client: &Client, operation: &Operation) {
    eventually("it is asked again", || {
        assert!(!operation.done().expect("look"), "it has ended");
        (stat(client, "keys_asked_again") > 0).then_some(())
    });
}

#[test]
fn a_put_waits_for_a_node_that_is_behind() {
    for transport in [TransportChoice::Tcp, TransportChoice::SharedMemory] {
        let node = RealNode::start(1, 16);
        node.node.set_route(1, 1, &[0]).expect("a route");
        let newer = map(2, std::slice::from_ref(&node.entry), &[]);
        let client = client_of(transport, 1, newer);
        let (keys, memory) = (keys_of(BLOCKS, 0), source(1));
        let segments = memory.segments(BLOCKS, BLOCK);
        let put = start(&client, OperationKind::Put, &keys, Some(&segments), LONG_MS);
        until_asked_again(&client, &put);
        assert!(!client.stale().expect("stale"), "its own map is the newest");
        node.node.set_route(2, 1, &[1]).expect("a route");
        assert_eq!(finish(&put), vec![KeyStatus::Stored; BLOCKS]);
        let found = call(&client, OperationKind::Exists, &keys, None, LONG_MS);
        assert_eq!(found, vec![KeyStatus::Hit; BLOCKS]);
    }
}

#[test]
fn a_delete_waits_for_a_node_that_is_behind() {
    let node = RealNode::start(1, 16);
    let newer = map(2, std::slice::from_ref(&node.entry), &[]);
    let client = client_of(TransportChoice::Tcp, 1, newer);
    let (keys, memory) = (keys_of(BLOCKS, 0), source(1));
    let segments = memory.segments(BLOCKS, BLOCK);
    let put = call(&client, OperationKind::Put, &keys, Some(&segments), LONG_MS);
    assert_eq!(put, vec![KeyStatus::Stored; BLOCKS]);
    node.node.set_route(1, 1, &[0]).expect("a route");
    // What it holds it deletes at once; of the rest it may not know yet what others hold.
    let all = [keys, keys_of(BLOCKS, 7)].concat();
    let delete = start(&client, OperationKind::Delete, &all, None, LONG_MS);
    until_asked_again(&client, &delete);
    node.node.set_route(2, 1, &[1]).expect("a route");
    let (hits, misses) = ([KeyStatus::Hit; BLOCKS], [KeyStatus::Miss; BLOCKS]);
    assert_eq!(finish(&delete), [hits, misses].concat());
}

#[test]
fn a_put_waits_for_the_newer_map_of_a_node_that_is_ahead() {
    let (old, new) = (RealNode::start(1, 16), RealNode::start(2, 16));
    // It keeps the last place of three, in which it holds no copy of this space.
    old.node.set_route(2, 1, &[0, 0, 1]).expect("a route");
    new.node.set_route(2, 1, &[1]).expect("a route");
    let first = map(1, std::slice::from_ref(&old.entry), &[]);
    let client = client_of(TransportChoice::Tcp, 1, first);
    let (keys, memory) = (keys_of(BLOCKS, 0), source(1));
    let segments = memory.segments(BLOCKS, BLOCK);
    let put = start(&client, OperationKind::Put, &keys, Some(&segments), LONG_MS);
    eventually("the map is known to be out of date", || {
        assert!(!put.done().expect("look"), "it has ended");
        client.stale().expect("stale").then_some(())
    });
    let second = map(
        2,
        std::slice::from_ref(&new.entry),
        std::slice::from_ref(&old.entry),
    );
    client.set_map(second).expect("map");
    assert_eq!(finish(&put), vec![KeyStatus::Stored; BLOCKS]);
    assert_eq!(new.node.stats().engine.blocks, BLOCKS as u64);
    // The previous owner declines a delete by the same map: that is final, and no failure.
    let deleted = call(&client, OperationKind::Delete, &keys, None, LONG_MS);
    assert_eq!(deleted, vec![KeyStatus::Hit; BLOCKS]);
    assert_eq!(stat(&client, "keys_asked_again"), BLOCKS as u64);
}

#[test]
fn a_mirror_is_whole_once_its_late_copy_has_caught_up() {
    let (prompt, late) = (RealNode::start(1, 16), RealNode::start(2, 16));
    prompt.node.set_route(2, 1, &[1]).expect("a route");
    late.node.set_route(1, 1, &[0]).expect("a route");
    let both = map(2, &[prompt.entry.clone(), late.entry.clone()], &[]);
    let client = client_of(TransportChoice::Tcp, 2, both);
    let (keys, memory) = (keys_of(BLOCKS, 0), source(1));
    let segments = memory.segments(BLOCKS, BLOCK);
    let put = start(&client, OperationKind::Put, &keys, Some(&segments), LONG_MS);
    until_asked_again(&client, &put);
    late.node.set_route(2, 1, &[1]).expect("a route");
    assert_eq!(finish(&put), vec![KeyStatus::Stored; BLOCKS]);
    let reasons = &put.result().expect("done").reasons;
    assert!(reasons.is_empty(), "{reasons:?}");
    assert_eq!(late.node.stats().engine.blocks, BLOCKS as u64);
}

#[test]
fn a_node_that_stays_behind_costs_one_deadline_and_few_requests() {
    let node = ScriptedNode::start(1);
    node.behave(Behaviour::NotOwner);
    let client = client_of(
        TransportChoice::Tcp,
        1,
        map(1, std::slice::from_ref(&node.entry), &[]),
    );
    let (keys, memory) = (keys_of(BLOCKS, 0), source(1));
    let segments = memory.segments(BLOCKS, BLOCK);
    let begin = Instant::now();
    let put = call(&client, OperationKind::Put, &keys, Some(&segments), 400);
    let took = begin.elapsed();
    // Unknown: the deadline has met a try under way.
    let ended = [KeyStatus::NotOwner, KeyStatus::Unknown];
    assert!(ended.iter().any(|end| put == vec![*end; BLOCKS]), "{put:?}");
    assert!(took >= Duration::from_millis(400), "{took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(
        (2..=16).contains(&node.requests()),
        "{} requests",
        node.requests()
    );
    assert!(memory.region.close(Instant::now()), "still in use");
    // The node is not taken for a silent one.
    node.behave(Behaviour::Honest);
    let memory = source(1);
    let segments = memory.segments(BLOCKS, BLOCK);
    let put = call(&client, OperationKind::Put, &keys, Some(&segments), LONG_MS);
    assert_eq!(put, vec![KeyStatus::Stored; BLOCKS]);
}

#[test]
fn a_put_that_waits_is_cancelled_at_once() {
    let node = RealNode::start(1, 16);
    node.node.set_route(1, 1, &[0]).expect("a route");
    let newer = map(2, std::slice::from_ref(&node.entry), &[]);
    let client = client_of(TransportChoice::Tcp, 1, newer);
    let (keys, memory) = (keys_of(BLOCKS, 0), source(1));
    let segments = memory.segments(BLOCKS, BLOCK);
    let put = start(&client, OperationKind::Put, &keys, Some(&segments), LONG_MS);
    until_asked_again(&client, &put);
    put.cancel().expect("cancel");
    let statuses = finish(&put);
    let ended = [KeyStatus::Cancelled, KeyStatus::Unknown];
    assert!(statuses.iter().all(|status| ended.contains(status)));
    assert!(memory.region.close(Instant::now()), "still in use");
}

#[test]
fn a_put_that_nobody_waits_for_is_asked_again_all_the_same() {
    let node = RealNode::start(1, 16);
    node.node.set_route(1, 1, &[0]).expect("a route");
    let newer = map(2, std::slice::from_ref(&node.entry), &[]);
    let client = client_of(TransportChoice::Tcp, 1, newer);
    let (keys, memory) = (keys_of(BLOCKS, 0), source(1));
    let segments = memory.segments(BLOCKS, BLOCK);
    let put = start(&client, OperationKind::Put, &keys, Some(&segments), LONG_MS);
    assert!(put.notify().expect("notify"));
    eventually("it is asked again", || {
        (stat(&client, "keys_asked_again") > 0).then_some(())
    });
    node.node.set_route(2, 1, &[1]).expect("a route");
    let tokens = eventually("its end is told", || {
        let tokens = client.completed().expect("completed");
        (!tokens.is_empty()).then_some(tokens)
    });
    assert_eq!(tokens, [put.token()]);
    assert_eq!(finish(&put), vec![KeyStatus::Stored; BLOCKS]);
}
