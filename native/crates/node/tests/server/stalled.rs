//! Peers that do not take or deliver in time.

use holdfast_wire::{AnswerStatus, Header, Kind, TransportKind};

use crate::block;
use crate::support::frames::Caller;
use crate::support::ops::keys_body;
use crate::support::rig::{BLOCK_BYTES, Rig, SPACE};
use crate::support::{bytes_of, eventually, id_of};

const TCP: TransportKind = TransportKind::Tcp;

fn fill(rig: &Rig, count: u64) -> Vec<[u8; 16]> {
    let mut writer = rig.open(TCP);
    for from in (0..count).step_by(50) {
        writer.put(
            1,
            &(from..count.min(from + 50)).map(block).collect::<Vec<_>>(),
        );
    }
    (0..count).map(id_of).collect()
}

/// Larger than what the kernel's buffers between two stalled ends take.
const MANY: u64 = 700;

#[test]
fn a_stalled_reader_is_cut_at_its_deadline_and_its_pins_are_freed() {
    for unix in [false, true] {
        let rig = Rig::new();
        let ids = fill(&rig, MANY);
        let mut caller = if unix {
            rig.connect_unix()
        } else {
            rig.connect(TCP)
        };
        caller.greet(TCP, &rig.tenant_ticket(crate::support::rig::TENANT));
        caller.bind(&rig.space_ticket(crate::support::rig::TENANT, SPACE, BLOCK_BYTES));
        caller.deadline_ms = 200;
        caller.send(Kind::Get, &keys_body(SPACE, 0, &ids));
        eventually("an answer under way", || rig.stats().engine.pins > 0);
        let mut bystander = rig.open(TCP);
        assert_eq!(bystander.exists(&[ids[0]]), [true]);
        eventually("the reader is cut", || rig.counter("readers_cut") == 1);
        eventually("pins given back", || rig.is_at_rest());
        assert_eq!(bystander.exists(&[ids[0]]), [true]);
    }
}

#[test]
fn an_answer_that_waits_too_long_behind_another_shrinks_to_a_word() {
    let rig = Rig::new();
    let ids = fill(&rig, MANY);
    let mut caller = rig.open(TCP);
    let body = keys_body(SPACE, 0, &ids);
    let slow = caller.send(Kind::Get, &body);
    caller.deadline_ms = 100;
    let late = caller.send(Kind::Get, &keys_body(SPACE, 0, &ids[..3]));
    eventually("the second answer is given up", || {
        rig.counter("requests_expired") == 1
    });
    let answer = caller.answer(Kind::GetAnswer, slow);
    assert_eq!(caller.read_blocks(&answer, ids.len()).len(), ids.len());
    let refusal = caller.answer(Kind::GetAnswer, late);
    assert_eq!(refusal.header.status, AnswerStatus::DeadlineExceeded);
    assert_eq!(refusal.header.payload_bytes, 0);
    assert_eq!(caller.exists(&ids[..1]), [true], "the connection goes on");
    eventually("nothing held", || rig.is_at_rest());
}

fn cut_writer(send: impl FnOnce(&mut Caller, u32)) {
    let rig = Rig::new();
    let mut caller = rig.open(TCP);
    caller.deadline_ms = 100;
    let (request, _) = caller.ask_put(1, (0..4).map(id_of));
    send(&mut caller, request);
    let goodbye = caller.goodbye();
    assert_eq!(goodbye.header.status, AnswerStatus::DeadlineExceeded);
    assert!(goodbye.text().contains("payload"), "{}", goodbye.text());
    assert_eq!(rig.counter("writers_cut"), 1);
    eventually("slots given back", || rig.is_at_rest());
    assert_eq!(rig.open(TCP).exists(&[id_of(0)]), [false]);
}

#[test]
fn a_writer_that_stops_in_mid_payload_is_cut_at_its_deadline() {
    cut_writer(|caller, request| {
        let mut header = Header::new(Kind::PutData, request);
        header.payload_bytes = 4 * u64::from(BLOCK_BYTES + 4);
        caller.send_frame(&header, &[]);
        caller
            .send_bytes(&bytes_of(1, 70_000))
            .expect("a node that reads");
    });
}

#[test]
fn a_writer_that_never_uses_its_grant_is_cut_at_its_deadline() {
    cut_writer(|_, _| {});
}

#[test]
fn a_connection_without_requests_is_closed() {
    let rig = Rig::with(|config| config.idle_deadline_ms = 100);
    let mut caller = rig.open(TCP);
    let goodbye = caller.goodbye();
    assert_eq!(goodbye.header.status, AnswerStatus::Unavailable);
    assert!(
        goodbye.text().contains("nothing was asked"),
        "{}",
        goodbye.text()
    );
    assert_eq!(rig.counter("idle_closed"), 1);
    eventually("the connection is closed", || rig.stats().connections == 0);
}
