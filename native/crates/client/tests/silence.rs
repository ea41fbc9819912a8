//! When a client takes a node for silent, and when it must not.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use holdfast_client::OperationKind;
use holdfast_wire::KeyStatus;
use support::scripted::{Behaviour, ScriptedNode};
use support::{BLOCK, BLOCKS, Memory, call, client, config, eventually, filled, keys_of, map};

#[test]
fn a_stall_in_mid_payload_costs_one_deadline_and_leaves_the_memory_alone() {
    let node = ScriptedNode::start(1);
    let (client, keys, bytes) = filled(&node);
    let memory = Memory::new(BLOCK * BLOCKS);
    let segments = memory.segments(BLOCKS, BLOCK);
    node.behave(Behaviour::StallMidGet);
    let begin = Instant::now();
    let got = call(&client, OperationKind::Get, &keys, Some(&segments), 300);
    let took = begin.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
    assert!(got.contains(&KeyStatus::TimedOut));
    assert!(!got.contains(&KeyStatus::Miss));
    memory.fill(0x11);
    // While it is silent it is not asked: no second deadline.
    let begin = Instant::now();
    let further = call(&client, OperationKind::Exists, &keys, None, 5_000);
    assert_eq!(further, vec![KeyStatus::Unreachable; BLOCKS]);
    assert!(begin.elapsed() < Duration::from_secs(2));
    node.behave(Behaviour::Honest);
    let other = Memory::new(BLOCK * BLOCKS);
    let others = other.segments(BLOCKS, BLOCK);
    eventually("the node is asked again", || {
        let got = call(&client, OperationKind::Get, &keys, Some(&others), 5_000);
        (got == vec![KeyStatus::Hit; BLOCKS]).then_some(())
    });
    assert_eq!(other.bytes(), bytes);
    assert_eq!(memory.bytes(), vec![0x11; BLOCK * BLOCKS]);
}

#[test]
fn a_slow_link_is_not_silent() {
    let node = ScriptedNode::start(1);
    let (client, keys, _) = filled(&node);
    let memory = Memory::new(BLOCK * BLOCKS);
    let segments = memory.segments(BLOCKS, BLOCK);
    node.behave(Behaviour::TrickleMidGet);
    let got = call(&client, OperationKind::Get, &keys, Some(&segments), 400);
    assert_eq!(got[0], KeyStatus::Hit);
    assert_eq!(got[BLOCKS - 1], KeyStatus::TimedOut);
    node.behave(Behaviour::Honest);
    // What came in time counts, and nothing says that the node is gone.
    let found = call(&client, OperationKind::Exists, &keys, None, 20_000);
    assert_eq!(found, vec![KeyStatus::Hit; BLOCKS]);
    assert_eq!(node.connections(), 1);
}

#[test]
fn short_deadlines_of_some_cost_others_nothing() {
    let node = ScriptedNode::start(1);
    let (client, keys, _) = filled(&node);
    let short = keys_of(64, 9);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    call(&client, OperationKind::Exists, &short, None, 1);
                }
            });
        }
        let memory = Memory::new(BLOCK * BLOCKS);
        let segments = memory.segments(BLOCKS, BLOCK);
        for _ in 0..100 {
            let got = call(&client, OperationKind::Get, &keys, Some(&segments), 20_000);
            assert_eq!(got, vec![KeyStatus::Hit; BLOCKS]);
        }
        ended.store(true, Ordering::Relaxed);
    });
}

#[test]
fn short_deadlines_that_are_missed_now_and_then_are_no_silence() {
    let missed = |client: &holdfast_client::Client, keys: &[[u8; 32]]| {
        let begin = Instant::now();
        let statuses = call(client, OperationKind::Exists, keys, None, 5);
        assert_eq!(statuses, vec![KeyStatus::TimedOut; BLOCKS]);
        begin.elapsed()
    };
    eventually("a machine that is prompt enough", || {
        let node = ScriptedNode::start(1);
        let (client, keys, _) = filled(&node);
        for _ in 0..4 {
            node.behave(Behaviour::Silent);
            let took = missed(&client, &keys);
            node.behave(Behaviour::Honest);
            if took > Duration::from_millis(40) {
                // So long a silence counts by itself.
                return None;
            }
            let found = call(&client, OperationKind::Exists, &keys, None, 20_000);
            assert_eq!(found, vec![KeyStatus::Hit; BLOCKS]);
        }
        Some(())
    });
}

#[test]
fn a_node_that_never_greets_costs_one_deadline() {
    let node = ScriptedNode::start(1);
    node.behave(Behaviour::Silent);
    let client = client(
        config(),
        BLOCK as u32,
        1,
        map(1, std::slice::from_ref(&node.entry), &[]),
    );
    let keys = keys_of(4, 0);
    let begin = Instant::now();
    let first = call(&client, OperationKind::Exists, &keys, None, 200);
    assert_eq!(first, vec![KeyStatus::TimedOut; 4]);
    assert!(begin.elapsed() < Duration::from_millis(1500));
    let begin = Instant::now();
    let second = call(&client, OperationKind::Exists, &keys, None, 20_000);
    assert_eq!(second, vec![KeyStatus::Unreachable; 4]);
    assert!(begin.elapsed() < Duration::from_secs(5));
    node.behave(Behaviour::Honest);
    eventually("the node is asked again", || {
        let got = call(&client, OperationKind::Exists, &keys, None, 5_000);
        (got == vec![KeyStatus::Miss; 4]).then_some(())
    });
}
