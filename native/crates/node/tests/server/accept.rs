//! How many may connect, and on which reactor they are.

use holdfast_wire::{AnswerStatus, Kind, TransportKind};

use crate::support::frames::Caller;
use crate::support::rig::{Rig, TENANT};
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
fn strangers_do_not_lock_callers_out() {
    for reactors in [1, 3] {
        let rig = Rig::with(|config| (config.reactors, config.connections_max) = (reactors, 8));
        let mut strangers: Vec<_> = (0..300).map(|_| rig.connect(TCP)).collect();
        let mut caller = rig.open(TCP);
        assert_eq!(caller.exists(&[id_of(0)]), [false]);
        eventually("most strangers are gone", || {
            rig.stats().connections <= 128 + reactors
        });
        assert!(rig.counter("strangers_dropped") >= 300 - 128 - u64::from(reactors));
        // The oldest went first, and was told so.
        let goodbye = strangers[0].goodbye();
        assert_eq!(goodbye.header.status, AnswerStatus::Busy);
        assert!(goodbye.text().contains("hello"), "{}", goodbye.text());
        let last = strangers.last_mut().expect("a stranger");
        last.greet(TCP, &rig.tenant_ticket(TENANT));
        assert_eq!(caller.exists(&[id_of(0)]), [false]);
    }
}

#[test]
fn connections_are_counted_when_they_are_greeted() {
    let rig = Rig::with(|config| config.connections_max = 2);
    let mut three: Vec<_> = (0..3).map(|_| rig.connect(TCP)).collect();
    let ticket = rig.tenant_ticket(TENANT);
    three[0].greet(TCP, &ticket);
    three[1].greet(TCP, &ticket);
    let (status, welcome) = three[2].say_hello(&Caller::hello(TCP, &ticket));
    assert_eq!(status, AnswerStatus::Busy);
    assert!(welcome.text.contains('2'), "{}", welcome.text);
    three.truncate(1);
    eventually("room again", || rig.stats().connections == 1);
    rig.open(TCP);
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
