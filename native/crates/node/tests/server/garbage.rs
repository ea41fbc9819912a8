//! Bytes that are not of this protocol, and connections that break off.

use std::os::fd::AsRawFd;

use holdfast_wire::limits::REQUESTS_IN_FLIGHT_MAX;
use holdfast_wire::{AnswerStatus, Header, Kind, TransportKind};

use crate::block;
use crate::support::frames::Caller;
use crate::support::ops::{keys_body, put_body};
use crate::support::rig::{BLOCK_BYTES, Rig, SPACE};
use crate::support::{bytes_of, eventually, id_of};

const TCP: TransportKind = TransportKind::Tcp;
const TRANSPORTS: [TransportKind; 2] = [TCP, TransportKind::SharedMemory];

/// Sends bytes that must end the connection with a word about why; a bystander is still served.
fn ends_with(transport: TransportKind, expected: &str, send: impl FnOnce(&mut Caller)) {
    let rig = Rig::new();
    let mut bystander = rig.open(transport);
    let mut caller = rig.open(transport);
    send(&mut caller);
    let goodbye = caller.goodbye();
    assert_eq!(goodbye.header.status, AnswerStatus::Malformed);
    assert!(goodbye.text().contains(expected), "{}", goodbye.text());
    assert_eq!(rig.counter("protocol_errors"), 1);
    assert_eq!(bystander.exists(&[id_of(1)]), [false]);
    eventually("nothing held", || rig.is_at_rest());
}

#[test]
fn foreign_bytes_are_told_so() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.connect(transport);
        caller
            .send_bytes(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
            .expect("a socket");
        caller.send_bytes(&[0; 64]).expect("a socket");
        let goodbye = caller.goodbye();
        assert_eq!(goodbye.header.status, AnswerStatus::Malformed);
        assert_eq!(rig.counter("protocol_errors"), 1);
    }
}

#[test]
fn a_flipped_bit_in_a_frame_is_noticed() {
    for transport in TRANSPORTS {
        ends_with(transport, "check", |caller| {
            let header = caller.header(Kind::Exists);
            let mut frame = Vec::new();
            header.encode(&keys_body(SPACE, 0, &[id_of(0)]), &mut frame);
            let last = frame.len() - 1;
            frame[last] ^= 4;
            caller.send_bytes(&frame).expect("a socket");
        });
    }
}

#[test]
fn lengths_beyond_their_limits_are_noticed_at_once() {
    ends_with(TCP, "frame body is 4294967295", |caller| {
        caller.send_bytes(&[0xFF; 40]).expect("a socket");
    });
    ends_with(TCP, "number of keys", |caller| {
        let mut body = keys_body(SPACE, 0, &[]);
        body[8..12].copy_from_slice(&70_000_u32.to_le_bytes());
        caller.send(Kind::Exists, &body);
    });
    ends_with(TCP, "too many", |caller| {
        caller.send(
            Kind::Exists,
            &[keys_body(SPACE, 0, &[id_of(0)]), vec![0]].concat(),
        );
    });
    ends_with(TCP, "truncated", |caller| {
        caller.send(Kind::Put, &put_body(1, std::iter::once(id_of(0)))[..30]);
    });
}

#[test]
fn payload_without_a_grant_or_of_another_size_ends_the_connection() {
    for transport in TRANSPORTS {
        ends_with(transport, "has no grant", |caller| {
            let mut header = Header::new(Kind::PutData, 5);
            header.payload_bytes = 100;
            caller.send_frame(&header, &[]);
        });
        ends_with(transport, "granted were", |caller| {
            let (request, _) = caller.ask_put(1, std::iter::once(id_of(0)));
            let mut header = Header::new(Kind::PutData, request);
            header.payload_bytes = u64::from(BLOCK_BYTES);
            caller.send_frame(&header, &[]);
        });
        ends_with(transport, "carries no payload", |caller| {
            let mut header = caller.header(Kind::Ping);
            header.payload_bytes = 1;
            caller.send_frame(&header, &[]);
        });
    }
}

#[test]
fn answers_and_unknown_requests_are_no_requests() {
    ends_with(TCP, "no request", |caller| {
        caller.send(Kind::ExistsAnswer, &[]);
    });
    ends_with(TCP, "in use", |caller| {
        let (request, _) = caller.ask_put(1, std::iter::once(id_of(0)));
        let mut header = Header::new(Kind::Put, request);
        header.deadline_ms = 1000;
        caller.send_frame(&header, &put_body(1, std::iter::once(id_of(1))));
    });
}

#[test]
fn too_many_requests_without_reading_end_the_connection() {
    let rig = Rig::new();
    let mut caller = rig.open(TCP);
    // Grants keep their requests unanswered.
    for number in 0..u64::from(REQUESTS_IN_FLIGHT_MAX) {
        caller.ask_put(1, std::iter::once(id_of(number)));
    }
    caller.send(Kind::Ping, &[]);
    let goodbye = caller.goodbye();
    assert!(
        goodbye.text().contains("256 requests"),
        "{}",
        goodbye.text()
    );
    eventually("nothing held", || rig.is_at_rest());
}

#[test]
fn a_connection_reset_in_mid_payload_frees_its_slots() {
    for transport in TRANSPORTS {
        let rig = Rig::new();
        let mut caller = rig.open(transport);
        let (request, _) = caller.ask_put(1, (0..8).map(id_of));
        let mut header = Header::new(Kind::PutData, request);
        header.payload_bytes = 8 * u64::from(BLOCK_BYTES + 4);
        caller.send_frame(&header, &[]);
        caller
            .send_bytes(&bytes_of(1, 100_000))
            .expect("a node that reads");
        eventually("payload in the slots", || rig.stats().granted_bytes > 0);
        caller.stream.reset_on_close();
        drop(caller);
        eventually("slots given back", || rig.is_at_rest());
        let mut other = rig.open(transport);
        assert!(
            other
                .exists(&(0..8).map(id_of).collect::<Vec<_>>())
                .iter()
                .all(|found| !found)
        );
        other.put(2, &[block(0)]);
        assert!(other.get(&[id_of(0)])[0].1 == block(0).bytes);
    }
}

#[test]
fn a_connection_reset_while_it_is_answered_frees_its_pins() {
    let rig = Rig::new();
    let mut caller = rig.open(TCP);
    let blocks: Vec<_> = (0..200).map(block).collect();
    caller.put(1, &blocks);
    let ids: Vec<_> = blocks.iter().map(|block| block.id).collect();
    caller.send(Kind::Get, &keys_body(SPACE, 0, &ids));
    eventually("an answer under way", || rig.stats().engine.pins > 0);
    caller.stream.reset_on_close();
    drop(caller);
    eventually("pins given back", || rig.is_at_rest());
}

#[test]
fn a_truncated_frame_at_the_end_of_a_stream_is_forgotten() {
    let rig = Rig::new();
    let mut caller = rig.open(TCP);
    let header = caller.header(Kind::Exists);
    let mut frame = Vec::new();
    header.encode(&keys_body(SPACE, 0, &[id_of(0)]), &mut frame);
    caller
        .send_bytes(&frame[..frame.len() - 3])
        .expect("a socket");
    assert!(caller.stream.as_raw_fd() >= 0);
    caller.stream.shutdown_write();
    caller.end();
    eventually("the connection is closed", || rig.stats().connections == 0);
    assert_eq!(rig.counter("panics"), 0);
}
