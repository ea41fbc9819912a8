//! A client against nodes that are silent, slow, lying or gone.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast_client::{ClientError, OperationKind};
use holdfast_wire::KeyStatus;
use support::scripted::{Behaviour, ScriptedNode};
use support::{
    BLOCK, BLOCKS, Memory, call, client, config, eventually, filled, finish, keys_of, map,
    random_bytes, start,
};

#[test]
fn stores_and_reads_back() {
    let node = ScriptedNode::start(1);
    let (client, keys, bytes) = filled(&node);
    let memory = Memory::new(BLOCK * BLOCKS);
    let segments = memory.segments(BLOCKS, BLOCK);
    let got = call(&client, OperationKind::Get, &keys, Some(&segments), 20_000);
    assert_eq!(got, vec![KeyStatus::Hit; BLOCKS]);
    assert_eq!(memory.bytes(), bytes);
    let absent = keys_of(10, 77);
    let found = call(&client, OperationKind::Exists, &absent, None, 20_000);
    assert_eq!(found, vec![KeyStatus::Miss; 10]);
}

#[test]
fn lies_become_unreachable_and_end() {
    for lie in [
        Behaviour::Garbage,
        Behaviour::WrongCount,
        Behaviour::WrongNumber,
        Behaviour::CloseMidGet,
    ] {
        let node = ScriptedNode::start(1);
        let (client, keys, _) = filled(&node);
        let memory = Memory::new(BLOCK * BLOCKS);
        let segments = memory.segments(BLOCKS, BLOCK);
        node.behave(lie);
        let statuses = match lie {
            Behaviour::WrongCount => call(&client, OperationKind::Exists, &keys, None, 5_000),
            _ => call(&client, OperationKind::Get, &keys, Some(&segments), 5_000),
        };
        assert!(
            statuses.contains(&KeyStatus::Unreachable),
            "{lie:?} {statuses:?}"
        );
        node.behave(Behaviour::Honest);
        eventually("it serves again", || {
            let got = call(&client, OperationKind::Get, &keys, Some(&segments), 5_000);
            (got == vec![KeyStatus::Hit; BLOCKS]).then_some(())
        });
    }
}

#[test]
fn a_flipped_bit_is_corrupt_counted_and_reported() {
    let node = ScriptedNode::start(1);
    let (client, keys, _) = filled(&node);
    let memory = Memory::new(BLOCK * BLOCKS);
    let segments = memory.segments(BLOCKS, BLOCK);
    node.behave(Behaviour::FlippedBit);
    let got = call(&client, OperationKind::Get, &keys, Some(&segments), 5_000);
    assert_eq!(got[0], KeyStatus::Corrupt);
    assert_eq!(got[1..], vec![KeyStatus::Hit; BLOCKS - 1]);
    eventually("the node is told", || {
        // Somebody must drive for the report to go out.
        call(&client, OperationKind::Exists, &keys[..1], None, 5_000);
        (node.reports() == 1).then_some(())
    });
    let stats = client.stats().expect("stats");
    assert!(stats.contains(&("corrupt", 1)), "{stats:?}");
}

#[test]
fn a_connection_that_breaks_in_mid_put_leaves_its_keys_unknown() {
    let node = ScriptedNode::start(1);
    let (client, _, _) = filled(&node);
    node.behave(Behaviour::CloseMidPut);
    let keys = keys_of(BLOCKS, 1);
    let source = Memory::of(random_bytes(BLOCK * BLOCKS, 6));
    let segments = source.segments(BLOCKS, BLOCK);
    let put = call(&client, OperationKind::Put, &keys, Some(&segments), 5_000);
    assert_eq!(put, vec![KeyStatus::Unknown; BLOCKS]);
    node.behave(Behaviour::Honest);
    let put = call(&client, OperationKind::Put, &keys, Some(&segments), 5_000);
    assert_eq!(put, vec![KeyStatus::Stored; BLOCKS]);
}

#[test]
fn a_stalled_put_ends_at_its_deadline_and_sends_nothing_later() {
    let node = ScriptedNode::start(1);
    let (client, _, _) = filled(&node);
    node.behave(Behaviour::StallMidPut);
    let keys = keys_of(512, 2);
    let source = Memory::of(random_bytes(BLOCK * 512, 7));
    let segments = source.segments(512, BLOCK);
    let begin = Instant::now();
    let put = call(&client, OperationKind::Put, &keys, Some(&segments), 300);
    assert_eq!(put, vec![KeyStatus::Unknown; 512]);
    assert!(begin.elapsed() < Duration::from_millis(1500));
    assert!(
        source.region.close(Instant::now()),
        "still in use after the end"
    );
    drop(segments);
    source.fill(0);
    node.behave(Behaviour::Honest);
    eventually("the node serves again", || {
        let got = call(&client, OperationKind::Exists, &keys, None, 5_000);
        (got == vec![KeyStatus::Miss; 512]).then_some(())
    });
}

#[test]
fn cancel_ends_at_once_and_nothing_is_written_later() {
    let node = ScriptedNode::start(1);
    let (client, keys, _) = filled(&node);
    let memory = Memory::new(BLOCK * BLOCKS);
    let segments = memory.segments(BLOCKS, BLOCK);
    node.behave(Behaviour::StallMidGet);
    let operation = start(&client, OperationKind::Get, &keys, Some(&segments), 20_000);
    eventually("half of it has arrived", || {
        operation.done().expect("look");
        (memory.bytes()[BLOCK * BLOCKS / 2 - 1] != 0).then_some(())
    });
    operation.cancel().expect("cancel");
    assert!(operation.done().expect("look"));
    let statuses = finish(&operation);
    assert!(statuses.contains(&KeyStatus::Cancelled));
    memory.fill(0x22);
    node.behave(Behaviour::Honest);
    let found = call(&client, OperationKind::Exists, &keys, None, 5_000);
    assert_eq!(found, vec![KeyStatus::Hit; BLOCKS]);
    assert_eq!(memory.bytes(), vec![0x22; BLOCK * BLOCKS]);
}

#[test]
fn a_mirror_serves_when_its_first_copy_is_silent() {
    let nodes = [ScriptedNode::start(1), ScriptedNode::start(2)];
    let entries = [nodes[0].entry.clone(), nodes[1].entry.clone()];
    let client = client(config(), BLOCK as u32, 2, map(1, &entries, &[]));
    let keys = keys_of(BLOCKS, 0);
    let bytes = random_bytes(BLOCK * BLOCKS, 9);
    let source = Memory::of(bytes.clone());
    let segments = source.segments(BLOCKS, BLOCK);
    let put = call(&client, OperationKind::Put, &keys, Some(&segments), 20_000);
    assert_eq!(put, vec![KeyStatus::Stored; BLOCKS]);
    assert_eq!((nodes[0].blocks(), nodes[1].blocks()), (BLOCKS, BLOCKS));
    nodes[0].behave(Behaviour::StallMidGet);
    let memory = Memory::new(BLOCK * BLOCKS);
    let target = memory.segments(BLOCKS, BLOCK);
    let got = call(&client, OperationKind::Get, &keys, Some(&target), 1_000);
    assert_eq!(got, vec![KeyStatus::Hit; BLOCKS]);
    assert_eq!(memory.bytes(), bytes);
    nodes[0].behave(Behaviour::Silent);
    let begin = Instant::now();
    let further = keys_of(BLOCKS, 1);
    let put = start(
        &client,
        OperationKind::Put,
        &further,
        Some(&segments),
        20_000,
    );
    let statuses = finish(&put);
    assert_eq!(statuses, vec![KeyStatus::Stored; BLOCKS]);
    assert_eq!(
        put.result().expect("done").reasons["copy_lost"],
        BLOCKS as u64
    );
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn previous_owners_are_asked_before_a_miss() {
    let nodes = [ScriptedNode::start(1), ScriptedNode::start(2)];
    let (old, keys, bytes) = filled(&nodes[1]);
    drop(old);
    let (owner, previous) = (nodes[0].entry.clone(), nodes[1].entry.clone());
    let client = client(config(), BLOCK as u32, 1, map(2, &[owner], &[previous]));
    let memory = Memory::new(BLOCK * BLOCKS);
    let segments = memory.segments(BLOCKS, BLOCK);
    let got = call(&client, OperationKind::Get, &keys, Some(&segments), 5_000);
    assert_eq!(got, vec![KeyStatus::Hit; BLOCKS]);
    assert_eq!(memory.bytes(), bytes);
    let deleted = call(&client, OperationKind::Delete, &keys, None, 5_000);
    assert_eq!(deleted, vec![KeyStatus::Hit; BLOCKS]);
    let found = call(&client, OperationKind::Exists, &keys, None, 5_000);
    assert_eq!(found, vec![KeyStatus::Miss; BLOCKS]);
}

#[test]
fn a_stale_map_is_noticed() {
    let node = ScriptedNode::start(1);
    let (client, keys, _) = filled(&node);
    assert!(!client.stale().expect("stale"));
    node.behave(Behaviour::NotOwner);
    let got = call(&client, OperationKind::Exists, &keys, None, 5_000);
    assert_eq!(got, vec![KeyStatus::NotOwner; BLOCKS]);
    assert!(client.stale().expect("stale"));
    client
        .set_map(map(100, std::slice::from_ref(&node.entry), &[]))
        .expect("map");
    assert!(!client.stale().expect("stale"));
}

#[test]
fn a_map_that_is_confirmed_is_not_stale() {
    let node = ScriptedNode::start(1);
    // Named with another incarnation than it greets with: there may be a newer map.
    let mut restarted = node.entry.clone();
    restarted.incarnation = 7;
    let present = || map(1, std::slice::from_ref(&restarted), &[]);
    let client = client(config(), BLOCK as u32, 1, present());
    let keys = keys_of(4, 0);
    call(&client, OperationKind::Exists, &keys, None, 5_000);
    assert!(client.stale().expect("stale"));
    client.set_map(present()).expect("map");
    assert!(!client.stale().expect("stale"), "it is the newest");
    node.behave(Behaviour::NotOwner);
    call(&client, OperationKind::Exists, &keys, None, 5_000);
    client.set_map(present()).expect("map");
    assert!(
        client.stale().expect("stale"),
        "a node has shown a newer one"
    );
}

#[test]
fn a_connection_closed_as_idle_is_replaced_unnoticed() {
    let node = ScriptedNode::start(1);
    let (client, keys, _) = filled(&node);
    for _ in 0..5 {
        let before = node.connections();
        node.disconnect();
        let found = call(&client, OperationKind::Exists, &keys, None, 20_000);
        assert_eq!(found, vec![KeyStatus::Hit; BLOCKS]);
        assert!(node.connections() > before);
    }
}

#[test]
fn what_is_in_flight_is_bounded() {
    let node = ScriptedNode::start(1);
    node.behave(Behaviour::Silent);
    let mut settings = config();
    settings.operations_max = 3;
    settings.bytes_in_flight_max = (BLOCK * 2) as u64;
    let one = map(1, std::slice::from_ref(&node.entry), &[]);
    let client = client(settings, BLOCK as u32, 1, one);
    let keys = keys_of(1, 0);
    let memory = Memory::new(BLOCK * 3);
    let segments = memory.segments(1, BLOCK);
    let first = start(&client, OperationKind::Get, &keys, Some(&segments), 20_000);
    let second = start(&client, OperationKind::Get, &keys, Some(&segments), 20_000);
    let refused = |kind, segments: Option<&Arc<holdfast_client::Segments>>| {
        let request = holdfast_client::Request {
            kind,
            space: support::SPACE,
            keys: holdfast_client::Keys::List(&[b"key"]),
            segments: segments.cloned(),
            first_position: 0,
            duration_ms: 0,
            deadline_ms: 1000,
            notify: false,
        };
        client.start(request).err().expect("refused")
    };
    let error = refused(OperationKind::Get, Some(&segments));
    assert!(
        matches!(
            error,
            ClientError::InFlight {
                what: "payload bytes",
                ..
            }
        ),
        "{error}"
    );
    let third = start(&client, OperationKind::Exists, &keys, None, 20_000);
    let error = refused(OperationKind::Exists, None);
    assert!(
        matches!(
            error,
            ClientError::InFlight {
                what: "operations",
                ..
            }
        ),
        "{error}"
    );
    for operation in [first, second, third] {
        operation.cancel().expect("cancel");
        assert_eq!(finish(&operation), vec![KeyStatus::Cancelled]);
    }
    assert!(memory.region.close(Instant::now()));
    let error = refused(OperationKind::Get, Some(&segments));
    assert!(
        matches!(error, ClientError::Closed { what: "region" }),
        "{error}"
    );
}

#[test]
fn notified_operations_end_without_anybody_waiting() {
    let node = ScriptedNode::start(1);
    let (client, keys, bytes) = filled(&node);
    let memory = Memory::new(BLOCK * BLOCKS);
    let segments = memory.segments(BLOCKS, BLOCK);
    let operation = start(&client, OperationKind::Get, &keys, Some(&segments), 20_000);
    let watched = operation.notify().expect("notify");
    if watched {
        let tokens = eventually("it is told", || {
            let tokens = client.completed().expect("completed");
            (!tokens.is_empty()).then_some(tokens)
        });
        assert_eq!(tokens, [operation.token()]);
    }
    assert_eq!(finish(&operation), vec![KeyStatus::Hit; BLOCKS]);
    assert_eq!(memory.bytes(), bytes);
    node.behave(Behaviour::Silent);
    let operation = start(&client, OperationKind::Exists, &keys, None, 200);
    assert!(operation.notify().expect("notify"));
    eventually("its deadline is told", || {
        let tokens = client.completed().expect("completed");
        tokens.contains(&operation.token()).then_some(())
    });
    assert_eq!(finish(&operation), vec![KeyStatus::TimedOut; BLOCKS]);
}

#[test]
fn many_threads_share_one_client() {
    let node = ScriptedNode::start(1);
    let (client, keys, bytes) = filled(&node);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (client, keys, bytes) = (&client, &keys, &bytes);
            scope.spawn(move || {
                let memory = Memory::new(BLOCK * BLOCKS);
                let segments = memory.segments(BLOCKS, BLOCK);
                for round in 0..20 {
                    memory.fill(0);
                    let got = call(client, OperationKind::Get, keys, Some(&segments), 20_000);
                    assert_eq!(got, vec![KeyStatus::Hit; BLOCKS]);
                    assert_eq!(&memory.bytes(), bytes);
                    let absent = keys_of(100, 1000 + thread * 100 + round);
                    let found = call(client, OperationKind::Exists, &absent, None, 20_000);
                    assert_eq!(found, vec![KeyStatus::Miss; 100]);
                }
            });
        }
    });
}

#[test]
fn a_closed_client_cancels_and_refuses() {
    let node = ScriptedNode::start(1);
    let (client, keys, _) = filled(&node);
    node.behave(Behaviour::Silent);
    let operation = start(&client, OperationKind::Exists, &keys, None, 20_000);
    client
        .close(Instant::now() + support::PATIENCE)
        .expect("close");
    assert_eq!(finish(&operation), vec![KeyStatus::Cancelled; BLOCKS]);
    let error = client.set_tenant_ticket(&[0; 140]).expect_err("refused");
    assert!(
        matches!(error, ClientError::Closed { what: "client" }),
        "{error}"
    );
}
