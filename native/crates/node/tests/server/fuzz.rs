//! Random and damaged bytes against a live node, which goes on serving others.

use std::cell::RefCell;

use holdfast_wire::{Header, Kind, TransportKind};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::block;
use crate::support::frames::Caller;
use crate::support::ops::{keys_body, put_body};
use crate::support::rig::{Rig, SPACE};
use crate::support::{eventually, id_of};

const TCP: TransportKind = TransportKind::Tcp;
const CASES: u32 = 150;

/// What a hostile caller does with one connection.
#[derive(Debug, Clone)]
enum Attack {
    /// Bytes of no meaning.
    Noise(Vec<u8>),
    /// A frame with a good check and any body.
    Frame {
        kind: u8,
        body: Vec<u8>,
        payload: u64,
    },
    /// A good frame with bytes changed.
    Damaged { kind: u8, changes: Vec<(usize, u8)> },
    /// A good frame that ends early.
    Cut { kind: u8, bytes: usize },
}

fn attacks() -> impl Strategy<Value = Vec<Attack>> {
    let kind = 1..=0x0F_u8;
    let attack = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..200).prop_map(Attack::Noise),
        (
            kind.clone(),
            prop::collection::vec(any::<u8>(), 0..120),
            prop_oneof![Just(0), any::<u64>()]
        )
            .prop_map(|(kind, body, payload)| Attack::Frame {
                kind,
                body,
                payload: payload % (1 << 30)
            }),
        (
            kind.clone(),
            prop::collection::vec((0..60_usize, any::<u8>()), 1..4)
        )
            .prop_map(|(kind, changes)| Attack::Damaged { kind, changes }),
        (kind, 1..56_usize).prop_map(|(kind, bytes)| Attack::Cut { kind, bytes }),
    ];
    prop::collection::vec(attack, 1..6)
}

fn frame(kind: u8, body: &[u8], payload_bytes: u64) -> Vec<u8> {
    let kind = Kind::try_from(kind).expect("a request");
    let mut header = Header::new(kind, 3);
    header.deadline_ms = 50;
    header.payload_bytes = payload_bytes;
    let mut bytes = Vec::new();
    header.encode(body, &mut bytes);
    bytes
}

fn plausible(kind: u8) -> Vec<u8> {
    let body = if kind == Kind::Put as u8 {
        put_body(1, std::iter::once(id_of(7)))
    } else {
        keys_body(SPACE, 0, &[id_of(7)])
    };
    frame(kind, &body, 0)
}

fn bytes_of(attack: &Attack) -> Vec<u8> {
    match attack {
        Attack::Noise(bytes) => bytes.clone(),
        Attack::Frame {
            kind,
            body,
            payload,
        } => frame(*kind, body, *payload),
        Attack::Damaged { kind, changes } => {
            let mut bytes = plausible(*kind);
            for (at, change) in changes {
                let at = at % bytes.len();
                bytes[at] ^= change;
            }
            bytes
        }
        Attack::Cut { kind, bytes } => plausible(*kind)[..*bytes].to_vec(),
    }
}

fn strike(caller: &mut Caller, attacks: &[Attack]) {
    for attack in attacks {
        if caller.send_bytes(&bytes_of(attack)).is_err() {
            return; // The node has had enough.
        }
    }
}

#[test]
fn a_node_under_attack_serves_others() {
    let rig = Rig::new();
    let bystander = RefCell::new(rig.open(TCP));
    bystander.borrow_mut().put(1, &[block(0)]);
    // The runner prints the seed's file and the smallest failing case by itself.
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        ..Config::default()
    });
    let result = runner.run(
        &(attacks(), any::<bool>(), any::<bool>()),
        |(attacks, greet, unix)| {
            let transport = if unix {
                TransportKind::SharedMemory
            } else {
                TCP
            };
            let mut caller = if greet {
                rig.open(transport)
            } else {
                rig.connect(transport)
            };
            strike(&mut caller, &attacks);
            drop(caller);
            prop_assert!(bystander.borrow_mut().exists(&[id_of(0)]) == [true]);
            Ok(())
        },
    );
    result.expect("the bystander is served");
    assert!(bystander.borrow_mut().get(&[id_of(0)])[0].1 == block(0).bytes);
    eventually("all attackers are gone", || rig.stats().connections == 1);
    eventually("nothing held", || rig.is_at_rest());
    assert_eq!(rig.counter("panics"), 0);
    rig.node.stop(1000);
}
