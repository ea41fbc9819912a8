//! Calls that are cancelled with much payload on its way, beside calls of others.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use holdfast_client::{Client, OperationKind};
use holdfast_wire::KeyStatus;
use support::real::RealNode;
use support::{Memory, call, client, config, keys_of, map, random_bytes, start};

const BLOCK: usize = 256 << 10;
/// Blocks of a large call: 32 MiB.
const MANY: usize = 128;
const FEW: usize = 8;
const CALLERS: usize = 2;
const ROUNDS: u64 = 5;
const CANCELS_MIN: u64 = 50;
const LONG_MS: u64 = 120_000;

fn filled(lanes: usize) -> (RealNode, Client) {
    let node = RealNode::start(1, 256);
    let mut settings = config();
    settings.lanes = lanes;
    let one = map(1, std::slice::from_ref(&node.entry), &[]);
    let client = client(settings, BLOCK as u32, 1, one);
    let source = Memory::of(random_bytes(BLOCK * MANY, 3));
    let segments = source.segments(MANY, BLOCK);
    let put = call(
        &client,
        OperationKind::Put,
        &keys_of(MANY, 0),
        Some(&segments),
        LONG_MS,
    );
    assert_eq!(put, vec![KeyStatus::Stored; MANY]);
    (node, client)
}

/// Cancels large calls at all stages of their payload, until the others are served.
fn cancel_many(client: &Client, kind: OperationKind, served: &AtomicUsize) {
    let memory = Memory::of(random_bytes(BLOCK * MANY, 4));
    let segments = memory.segments(MANY, BLOCK);
    let keys = match kind {
        OperationKind::Put => keys_of(MANY, 1 << 48),
        _ => keys_of(MANY, 0),
    };
    let mut round = 0;
    while served.load(Ordering::Relaxed) < CALLERS || round < CANCELS_MIN {
        let operation = start(client, kind, &keys, Some(&segments), LONG_MS);
        for _ in 0..round % 7 {
            operation.done().expect("look");
        }
        operation.cancel().expect("cancel");
        assert!(operation.done().expect("look"));
        if kind == OperationKind::Put {
            // What was stored all the same would be present the next time.
            call(client, OperationKind::Delete, &keys, None, LONG_MS);
        }
        round += 1;
    }
    assert!(memory.region.close(Instant::now()), "still in use");
}

#[test]
fn what_a_cancelled_put_has_granted_is_given_back_by_an_idle_client() {
    let (node, client) = filled(1);
    let one = map(1, std::slice::from_ref(&node.entry), &[]);
    let other = support::client(config(), BLOCK as u32, 1, one);
    let memory = Memory::of(random_bytes(BLOCK * FEW, 6));
    let segments = memory.segments(FEW, BLOCK);
    for round in 0..20 {
        let keys = keys_of(FEW, 1000 + round);
        let operation = start(&client, OperationKind::Put, &keys, Some(&segments), LONG_MS);
        for _ in 0..round % 5 {
            operation.done().expect("look");
        }
        operation.cancel().expect("cancel");
        // Long before the deadline of what was cancelled.
        support::eventually("room for another's put", || {
            let put = call(&other, OperationKind::Put, &keys, Some(&segments), LONG_MS);
            let kept =
                |status: &KeyStatus| matches!(status, KeyStatus::Stored | KeyStatus::Present);
            put.iter().all(kept).then_some(())
        });
    }
}

/// Counts a caller out even if it fails, so that the cancels end.
struct Served<'a>(&'a AtomicUsize);

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Small and large calls: every one must be served.
fn be_served(client: &Client, salt: u64, served: &AtomicUsize) {
    let _served = Served(served);
    let source = Memory::of(random_bytes(BLOCK * MANY, salt));
    let target = Memory::new(BLOCK * MANY);
    for round in 0..ROUNDS {
        let count = if round % 4 == 0 { MANY } else { FEW };
        let keys = keys_of(count, salt + round);
        let from = source.segments(count, BLOCK);
        let put = call(client, OperationKind::Put, &keys, Some(&from), LONG_MS);
        // Present: the node had committed it when the lane was closed.
        let stored = [KeyStatus::Stored, KeyStatus::Present];
        assert!(put.iter().all(|status| stored.contains(status)), "{put:?}");
        let into = target.segments(count, BLOCK);
        let got = call(client, OperationKind::Get, &keys, Some(&into), LONG_MS);
        assert_eq!(got, vec![KeyStatus::Hit; count]);
        let bytes = count * BLOCK;
        assert!(target.bytes()[..bytes] == source.bytes()[..bytes]);
        call(client, OperationKind::Delete, &keys, None, LONG_MS);
    }
}

fn cancel_beside_others(kind: OperationKind) {
    for lanes in [1, 2] {
        let (_node, client) = filled(lanes);
        let served = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for caller in 1..=CALLERS as u64 {
                let (client, served) = (&client, &served);
                scope.spawn(move || be_served(client, caller << 32, served));
            }
            cancel_many(&client, kind, &served);
        });
        let nodes = client.node_stats().expect("stats");
        assert_eq!(nodes[0].failures, 0, "{}", nodes[0].last_error);
        assert_eq!(nodes[0].state, "good");
    }
}

#[test]
fn cancelled_gets_cost_others_nothing() {
    cancel_beside_others(OperationKind::Get);
}

#[test]
fn cancelled_puts_cost_others_nothing() {
    cancel_beside_others(OperationKind::Put);
}
