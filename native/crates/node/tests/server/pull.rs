//! Copying blocks from one node to another.

use std::collections::HashMap;

use holdfast_engine::SpaceSpec;
use holdfast_node::{NodeError, PullRequest};
use holdfast_wire::{KeyStatus, TicketKind, TransportKind, group_of};

use crate::block;
use crate::support::ops::listed;
use crate::support::rig::{BLOCK_BYTES, NODE, Rig, SPACE, TENANT, sign};
use crate::support::{eventually, id_of};

const TCP: TransportKind = TransportKind::Tcp;
const GROUPS: u32 = 16;

pub fn request(from: &Rig, groups: Vec<u8>) -> PullRequest {
    let spec = SpaceSpec {
        tenant: TENANT,
        space: SPACE,
        block_bytes: BLOCK_BYTES,
        ttl_s: 0,
        priority: 0,
    };
    PullRequest {
        peer_address: from.node.tcp_address().expect("a started node").to_string(),
        peer_node: NODE,
        ticket: from.node_ticket(8),
        group_count: GROUPS,
        groups,
        cursor: 0,
        bytes_max: 1 << 30,
        deadline_ms: 20_000,
        spaces: HashMap::from([(SPACE, spec)]),
    }
}

pub fn fill(rig: &Rig, numbers: std::ops::Range<u64>, write_id: u32) {
    let mut writer = rig.open(TCP);
    for number in numbers {
        writer.put(write_id, &[block(number)]);
    }
}

#[test]
fn blocks_of_the_wanted_groups_arrive_whole() {
    let (source, target) = (Rig::new(), Rig::new());
    fill(&source, 0..60, 5);
    fill(&target, 0..3, 6);
    let wanted = |number: u64| group_of(&id_of(number), GROUPS) < 8;
    let lacking = (3..60).filter(|number| wanted(*number)).count() as u64;
    let result = target
        .node
        .pull(&request(&source, vec![0xFF, 0]))
        .expect("a pull");
    assert_eq!((result.next_cursor, result.blocks), (0, lacking));
    assert_eq!(result.bytes, lacking * u64::from(BLOCK_BYTES));
    let mut reader = target.open(TCP);
    for number in 0..60 {
        let found = reader.get(&[id_of(number)]).remove(0);
        let here = number < 3 || wanted(number);
        assert_eq!(!found.1.is_empty(), here, "block {number}");
        assert!(!here || found.1 == block(number).bytes);
    }
    let stat = reader.stat(&[
        id_of(0),
        id_of((3..60).find(|number| wanted(*number)).expect("one")),
    ]);
    assert_eq!(
        (stat[0].write_id, stat[1].write_id),
        (6, 5),
        "a copy keeps its write"
    );
    let again = target
        .node
        .pull(&request(&source, vec![0xFF, 0]))
        .expect("a pull");
    assert_eq!(again.blocks, 0);
}

#[test]
fn a_pull_ends_after_its_bytes_and_goes_on_at_its_cursor() {
    let (source, target) = (Rig::new(), Rig::new());
    fill(&source, 0..40, 5);
    let mut asked = request(&source, vec![0xFF, 0xFF]);
    asked.bytes_max = 10 * u64::from(BLOCK_BYTES);
    let (mut blocks, mut calls) = (0, 0);
    loop {
        let result = target.node.pull(&asked).expect("a pull");
        assert!(result.bytes <= asked.bytes_max);
        (blocks, calls) = (blocks + result.blocks, calls + 1);
        asked.cursor = result.next_cursor;
        if result.next_cursor == 0 {
            break;
        }
        assert!(calls < 50, "no progress");
    }
    assert_eq!(blocks, 40);
    assert!(calls >= 4, "{calls} calls for 40 blocks");
}

#[test]
fn a_copy_ends_with_its_original() {
    const TTL_S: u32 = 16;
    let (source, target) = (Rig::new(), Rig::new());
    let mut ticket = source.ticket(TicketKind::Space);
    (ticket.tenant, ticket.space) = (TENANT, SPACE);
    (ticket.block_bytes, ticket.ttl_s) = (BLOCK_BYTES, TTL_S);
    let mut writer = source.connect(TCP);
    writer.greet(TCP, &source.tenant_ticket(TENANT));
    writer.bind(&sign(&ticket));
    assert_eq!(writer.put(5, &[block(0)]), [KeyStatus::Stored]);
    let left_ms = |rig: &Rig| {
        let page = rig.open_node().list(0, 10, GROUPS, vec![0xFF, 0xFF]);
        listed(&page).blocks[0].ttl_left_ms
    };
    let whole_ms = u64::from(TTL_S) * 1000;
    // A block's age is known to 1/64 of its time to live.
    eventually("the block has aged", || left_ms(&source) < whole_ms);
    let source_ms = left_ms(&source);
    let mut asked = request(&source, vec![0xFF, 0xFF]);
    asked.spaces.get_mut(&SPACE).expect("the space").ttl_s = TTL_S;
    assert_eq!(target.node.pull(&asked).expect("a pull").blocks, 1);
    assert!(left_ms(&target) <= source_ms);
}

#[test]
fn damaged_blocks_and_unknown_spaces_stay_behind() {
    let (source, target) = (Rig::new(), Rig::new());
    fill(&source, 0..4, 5);
    assert!(
        source
            .node
            .flip_bit(SPACE, &id_of(2), 77)
            .expect("fault injection")
    );
    let result = target
        .node
        .pull(&request(&source, vec![0xFF, 0xFF]))
        .expect("a pull");
    assert_eq!(result.blocks, 3);
    let found = target
        .open(TCP)
        .exists(&(0..4).map(id_of).collect::<Vec<_>>());
    assert_eq!(found, [true, true, false, true]);
    let other = Rig::new();
    let mut asked = request(&source, vec![0xFF, 0xFF]);
    asked.spaces.clear();
    assert_eq!(other.node.pull(&asked).expect("a pull").blocks, 0);
}

#[test]
fn what_cannot_be_pulled_says_why() {
    let (source, target) = (Rig::new(), Rig::new());
    let mut wrong_node = request(&source, vec![0xFF, 0xFF]);
    wrong_node.peer_node = 99;
    let mut wrong_ticket = request(&source, vec![0xFF, 0xFF]);
    wrong_ticket.ticket = source.tenant_ticket(TENANT);
    let mut nobody = request(&source, vec![0xFF, 0xFF]);
    nobody.peer_address = "127.0.0.1:1".to_owned();
    for (asked, expected) in [
        (wrong_node, "99"),
        (wrong_ticket, "node ticket"),
        (nobody, "refused"),
    ] {
        let error = target.node.pull(&asked).expect_err("no pull").to_string();
        assert!(error.contains(expected), "{error}");
    }
    let bitmap = target.node.pull(&request(&source, vec![0xFF]));
    assert!(matches!(bitmap, Err(NodeError::Bitmap { .. })));
}
