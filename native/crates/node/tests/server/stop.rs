//! How a node ends.

use std::time::{Duration, Instant};

use holdfast_node::NodeError;
use holdfast_wire::checksum::crc32c;
use holdfast_wire::{AnswerStatus, KeyStatus, Kind, TransportKind};

use crate::block;
use crate::support::rig::Rig;
use crate::support::{eventually, id_of};

const TCP: TransportKind = TransportKind::Tcp;

#[test]
fn a_stop_lets_puts_under_way_end_and_refuses_new_ones() {
    let rig = Rig::new();
    let mut caller = rig.open(TCP);
    let mut idle = rig.open(TransportKind::SharedMemory);
    let written = block(1);
    let (request, _) = caller.ask_put(1, std::iter::once(written.id));
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| rig.node.stop(15_000));
        assert_eq!(idle.goodbye().header.status, AnswerStatus::Unavailable);
        let ping = caller.send(Kind::Ping, &[]);
        let refusal = caller.answer(Kind::PingAnswer, ping);
        assert_eq!(refusal.header.status, AnswerStatus::Unavailable);
        let sum = crc32c(&written.bytes);
        caller.send_payload(request, [(written.bytes.as_slice(), sum)].into_iter());
        assert_eq!(caller.put_done(request, 1), [KeyStatus::Stored]);
        assert_eq!(caller.goodbye().header.status, AnswerStatus::Unavailable);
        drop((caller, idle));
        stopping.join().expect("no panic");
    });
    assert_eq!(rig.stats().connections, 0);
    assert!(rig.is_at_rest());
    assert!(
        !rig.node.unix_path().expect("a path").exists(),
        "the socket is removed"
    );
}

#[test]
fn a_stop_does_not_wait_beyond_its_deadline() {
    let rig = Rig::new();
    let mut caller = rig.open(TCP);
    caller.ask_put(1, (0..3).map(id_of));
    let start = Instant::now();
    rig.node.stop(300);
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(250), "{elapsed:?}");
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    eventually("nothing held", || rig.is_at_rest());
    let mut ended = false;
    while let Ok(frame) = caller.frame() {
        ended |= frame.header.kind == Kind::Goodbye;
    }
    assert!(!ended || rig.stats().connections == 0);
}

#[test]
fn a_node_starts_once() {
    let rig = Rig::new();
    let again = rig.node.start("127.0.0.1:0", None);
    assert!(matches!(again, Err(NodeError::Started)));
    rig.node.stop(1000);
    let again = rig.node.start("127.0.0.1:0", None);
    assert!(matches!(again, Err(NodeError::Started)));
}
