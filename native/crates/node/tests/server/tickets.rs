//! What the tickets of an open connection allow, and for how long.

use holdfast_wire::{AnswerStatus, KeyStatus, Kind, TransportKind};

use crate::block;
use crate::support::id_of;
use crate::support::ops::{keys_body, listed, put_body};
use crate::support::rig::{BLOCK_BYTES, Rig, SPACE, TENANT};

const TCP: TransportKind = TransportKind::Tcp;

#[test]
fn a_space_must_be_bound() {
    let rig = Rig::new();
    let mut caller = rig.connect(TCP);
    caller.greet(TCP, &rig.tenant_ticket(TENANT));
    for (kind, answer) in [
        (Kind::Exists, Kind::ExistsAnswer),
        (Kind::Get, Kind::GetAnswer),
    ] {
        let refusal = caller.keys(kind, answer, 0, &[id_of(0)]);
        assert_eq!(refusal.header.status, AnswerStatus::UnknownSpace);
        assert!(refusal.text().contains("not bound"), "{}", refusal.text());
    }
}

#[test]
fn a_tenant_binds_no_space_of_another() {
    let rig = Rig::new();
    rig.open(TCP).put(1, &[block(0)]);
    let mut other = rig.connect(TCP);
    other.greet(TCP, &rig.tenant_ticket(TENANT + 1));
    let refusal = other.try_bind(&rig.space_ticket(TENANT, SPACE, BLOCK_BYTES));
    assert_eq!(refusal.header.status, AnswerStatus::PermissionDenied);
    let refusal = other.keys(Kind::Get, Kind::GetAnswer, 0, &[id_of(0)]);
    assert_eq!(refusal.header.status, AnswerStatus::UnknownSpace);
}

#[test]
fn tickets_end_and_are_renewed_on_a_live_connection() {
    let rig = Rig::new();
    let mut caller = rig.open(TCP);
    caller.put(1, &[block(0)]);
    rig.pass_s(601);
    let refusal = caller.keys(Kind::Exists, Kind::ExistsAnswer, 0, &[id_of(0)]);
    assert_eq!(refusal.header.status, AnswerStatus::Unauthenticated);
    assert!(
        refusal.text().contains("expired 1 s ago"),
        "{}",
        refusal.text()
    );
    let refusal = {
        let request = caller.send(Kind::Put, &put_body(2, std::iter::once(id_of(1))));
        caller.answer(Kind::PutGrant, request)
    };
    assert_eq!(refusal.header.status, AnswerStatus::Unauthenticated);
    caller.bind(&rig.tenant_ticket(TENANT));
    let refusal = caller.keys(Kind::Exists, Kind::ExistsAnswer, 0, &[id_of(0)]);
    assert_eq!(
        refusal.header.status,
        AnswerStatus::Unauthenticated,
        "the space's is over too"
    );
    caller.bind(&rig.space_ticket(TENANT, SPACE, BLOCK_BYTES));
    assert_eq!(caller.exists(&[id_of(0)]), [true]);
}

#[test]
fn another_tenants_ticket_renews_nothing() {
    let rig = Rig::new();
    let mut caller = rig.open(TCP);
    for ticket in [rig.tenant_ticket(TENANT + 1), rig.node_ticket(4)] {
        let refusal = caller.try_bind(&ticket);
        assert_eq!(refusal.header.status, AnswerStatus::PermissionDenied);
    }
    assert_eq!(caller.exists(&[id_of(0)]), [false]);
}

#[test]
fn a_bound_space_keeps_its_block_size() {
    let rig = Rig::new();
    let mut caller = rig.open(TCP);
    let refusal = caller.try_bind(&rig.space_ticket(TENANT, SPACE, 4096));
    assert_eq!(refusal.header.status, AnswerStatus::PermissionDenied);
    let text = refusal.text();
    assert!(text.contains("65536") && text.contains("4096"), "{text}");
}

#[test]
fn nodes_list_and_get_and_nothing_else() {
    let rig = Rig::new();
    rig.open(TCP).put(1, &[block(0)]);
    let mut node = rig.open_node();
    let page = listed(&node.list(0, 10, 8, vec![0xFF]));
    assert_eq!(page.blocks.len(), 1);
    assert_eq!((page.blocks[0].id, page.blocks[0].space), (id_of(0), SPACE));
    let found = node.get(&[id_of(0)]);
    assert!(found[0] == (KeyStatus::Hit, block(0).bytes));
    let refusals = [
        (Kind::Exists, Kind::ExistsAnswer),
        (Kind::Delete, Kind::DeleteAnswer),
        (Kind::Pin, Kind::PinAnswer),
        (Kind::Stat, Kind::StatAnswer),
        (Kind::Report, Kind::ReportAnswer),
    ];
    for (kind, answer) in refusals {
        let refusal = node.keys(kind, answer, 0, &[id_of(0)]);
        assert_eq!(
            refusal.header.status,
            AnswerStatus::PermissionDenied,
            "{kind:?}"
        );
    }
    let request = node.send(Kind::Put, &put_body(2, std::iter::once(id_of(1))));
    let refusal = node.answer(Kind::PutGrant, request);
    assert_eq!(refusal.header.status, AnswerStatus::PermissionDenied);
    rig.pass_s(601);
    let request = node.send(Kind::Get, &keys_body(SPACE, 0, &[id_of(0)]));
    let refusal = node.answer(Kind::GetAnswer, request);
    assert_eq!(refusal.header.status, AnswerStatus::Unauthenticated);
}

#[test]
fn tenants_do_not_list() {
    let rig = Rig::new();
    let refusal = rig.open(TCP).list(0, 10, 8, vec![0xFF]);
    assert_eq!(refusal.header.status, AnswerStatus::PermissionDenied);
}
