//! Who may connect, and what a refusal says.

use holdfast_wire::{AnswerStatus, Kind, TicketKind, TransportKind, VERSION_MAX};

use crate::support::frames::Caller;
use crate::support::rig::{NODE, Rig, TENANT, sign};

const TCP: TransportKind = TransportKind::Tcp;

/// Says a hello that must be refused, and returns the reason.
fn refused(
    rig: &Rig,
    expected: AnswerStatus,
    change: impl FnOnce(&mut holdfast_wire::Hello),
) -> String {
    let mut hello = Caller::hello(TCP, &rig.tenant_ticket(TENANT));
    change(&mut hello);
    let mut caller = rig.connect(TCP);
    let (status, welcome) = caller.say_hello(&hello);
    assert_eq!(status, expected, "{}", welcome.text);
    assert_eq!(welcome.node, NODE);
    assert_eq!(welcome.version == 0, expected == AnswerStatus::VersionSkew);
    caller.end();
    welcome.text
}

#[test]
fn another_version_is_told_both_ranges() {
    let rig = Rig::new();
    let text = refused(&rig, AnswerStatus::VersionSkew, |hello| {
        (hello.version_min, hello.version_max) = (900, 901);
    });
    assert!(text.contains("900 to 901"), "{text}");
    assert!(text.contains(&format!("to {VERSION_MAX}")), "{text}");
    let wider = Caller::hello(TCP, &rig.tenant_ticket(TENANT));
    let (status, welcome) = rig.connect(TCP).say_hello(&holdfast_wire::Hello {
        version_max: 900,
        ..wider
    });
    assert_eq!((status, welcome.version), (AnswerStatus::Ok, VERSION_MAX));
}

#[test]
fn another_cluster_is_told_both_ids() {
    let text = refused(&Rig::new(), AnswerStatus::WrongCluster, |hello| {
        hello.cluster = [0xAB; 16];
    });
    assert!(text.contains(&"ab".repeat(16)), "{text}");
    assert!(text.contains(&"07".repeat(16)), "{text}");
}

#[test]
fn another_node_is_told_both_ids() {
    let text = refused(&Rig::new(), AnswerStatus::WrongNode, |hello| {
        hello.node = 1234
    });
    assert!(
        text.contains("1234") && text.contains(&NODE.to_string()),
        "{text}"
    );
}

#[test]
fn a_caller_that_knows_no_node_is_welcome() {
    let rig = Rig::new();
    let mut hello = Caller::hello(TCP, &rig.tenant_ticket(TENANT));
    hello.node = 0;
    let (status, welcome) = rig.connect(TCP).say_hello(&hello);
    assert_eq!((status, welcome.node), (AnswerStatus::Ok, NODE));
}

#[test]
fn tickets_that_are_forged_foreign_or_over_open_nothing() {
    let rig = Rig::new();
    let unauthenticated = AnswerStatus::Unauthenticated;
    let text = refused(&rig, unauthenticated, |hello| hello.ticket[100] ^= 1);
    assert!(text.contains("signature"), "{text}");
    let text = refused(&rig, unauthenticated, |hello| hello.ticket[8] ^= 1);
    assert!(text.contains("key"), "{text}");
    let text = refused(&rig, unauthenticated, |hello| hello.ticket = [0; 140]);
    assert!(text.contains("not a ticket"), "{text}");
    let text = refused(&rig, unauthenticated, |hello| {
        let mut ticket = rig.ticket(TicketKind::Tenant);
        ticket.cluster = [9; 16];
        hello.ticket = sign(&ticket);
    });
    assert!(text.contains("cluster"), "{text}");
    let text = refused(&rig, unauthenticated, |hello| {
        hello.ticket = rig.space_ticket(TENANT, 1, 4096);
    });
    assert!(text.contains("space ticket"), "{text}");
    let ticket = rig.tenant_ticket(TENANT);
    rig.pass_s(601);
    let text = refused(&rig, unauthenticated, |hello| hello.ticket = ticket);
    assert!(text.contains("expired 1 s ago"), "{text}");
    assert_eq!(rig.counter("hellos_refused"), 6);
}

#[test]
fn a_key_that_was_replaced_opens_nothing() {
    let rig = Rig::new();
    let text = {
        rig.node.set_ticket_keys(&[(999, [1; 32])]);
        refused(&rig, AnswerStatus::Unauthenticated, |_| {})
    };
    assert!(text.contains("does not list"), "{text}");
}

#[test]
fn shared_memory_needs_the_unix_socket() {
    let rig = Rig::new();
    let text = refused(&rig, AnswerStatus::PermissionDenied, |hello| {
        hello.transport = TransportKind::SharedMemory;
    });
    assert!(text.contains("Unix socket"), "{text}");
}

#[test]
fn nothing_is_served_before_hello() {
    let rig = Rig::new();
    let mut caller = rig.connect(TCP);
    caller.send(Kind::Ping, &[]);
    let goodbye = caller.goodbye();
    assert_eq!(goodbye.header.status, AnswerStatus::Malformed);
    assert!(
        goodbye.text().contains("before hello"),
        "{}",
        goodbye.text()
    );
    let mut caller = rig.open(TCP);
    let mut body = Vec::new();
    Caller::hello(TCP, &rig.tenant_ticket(TENANT)).encode(&mut body);
    caller.send(Kind::Hello, &body);
    assert_eq!(caller.goodbye().header.status, AnswerStatus::Malformed);
}
