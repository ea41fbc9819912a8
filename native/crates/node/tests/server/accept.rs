//! How many may connect, and on which reactor they are.

use holdfast_wire::{AnswerStatus, Kind, TransportKind};

use crate::support::rig::Rig;
use crate::support::{eventually, id_of};

const TCP: TransportKind = TransportKind::Tcp;

#[test]
fn one_connection_too_many_is_told_so() {
    let rig = Rig::with(|config| config.connections_max = 2);
    let mut first = rig.open(TCP);
    let second = rig.open(TransportKind::SharedMemory);
    let mut third = rig.connect(TCP);
    let goodbye = third.goodbye();
    assert_eq!(goodbye.header.status, AnswerStatus::Busy);
    assert!(goodbye.text().contains('2'), "{}", goodbye.text());
    assert_eq!(rig.counter("connections_refused"), 1);
    drop(second);
    eventually("room again", || rig.stats().connections == 1);
    assert_eq!(rig.open(TCP).exists(&[id_of(0)]), [false]);
    assert_eq!(first.exists(&[id_of(0)]), [false]);
}

#[test]
fn several_reactors_serve_the_same_blocks() {
    let rig = Rig::with(|config| config.reactors = 3);
    let mut callers: Vec<_> = (0..7).map(|_| rig.open(TCP)).collect();
    for (number, caller) in callers.iter_mut().enumerate() {
        caller.put(1, &[crate::block(number as u64)]);
    }
    for caller in &mut callers {
        let found = caller.exists(&(0..7).map(id_of).collect::<Vec<_>>());
        assert_eq!(found, [true; 7]);
        let request = caller.send(Kind::Ping, &[]);
        caller.answer(Kind::PingAnswer, request);
    }
    let stats = rig.stats();
    assert_eq!((stats.connections, stats.requests["ping"]), (7, 7));
}

#[test]
fn a_spinning_node_serves_as_well() {
    let rig = Rig::with(|config| config.spin_us = 200);
    let mut caller = rig.open(TCP);
    caller.put(1, &[crate::block(0)]);
    assert!(caller.get(&[id_of(0)])[0].1 == crate::block(0).bytes);
}
