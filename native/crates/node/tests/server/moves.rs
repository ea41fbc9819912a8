//! Deletes and puts while a group moves from one node to another.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use holdfast_node::PullResult;
use holdfast_wire::{HEADER_BYTES, Header, KeyStatus, Kind, TransportKind};

use crate::block;
use crate::pull::{fill, request};
use crate::support::ops::Block;
use crate::support::rig::{BLOCK_BYTES, EPOCH, GROUPS, Rig};
use crate::support::{PATIENCE, bytes_of, id_of};

const TCP: TransportKind = TransportKind::Tcp;
const ALL: [u8; 2] = [0xFF, 0xFF];

/// Stands between two nodes and holds one answer back until it is told to go on.
struct Gate {
    address: String,
    held: Receiver<()>,
    go_on: Sender<()>,
}

impl Gate {
    /// A way to `rig` on which the first answer of a kind is held.
    fn before(rig: &Rig, kind: Kind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address").to_string();
        let to = rig.node.tcp_address().expect("a started node");
        let ((tell, held), (go_on, wait)) = (channel(), channel());
        thread::spawn(move || {
            let (near, _) = listener.accept().expect("a puller");
            let far = TcpStream::connect(to).expect("the node");
            let up = (clone(&near), clone(&far));
            thread::spawn(move || {
                let (mut near, mut far) = up;
                // Either side ends when the test does.
                let _ = std::io::copy(&mut near, &mut far);
            });
            pass_answers(far, near, kind, &tell, &wait);
        });
        Self {
            address,
            held,
            go_on,
        }
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor")
}

/// Hands frames on one by one until the connection ends.
fn pass_answers(
    mut from: TcpStream,
    mut to: TcpStream,
    kind: Kind,
    tell: &Sender<()>,
    wait: &Receiver<()>,
) {
    let mut head = [0; HEADER_BYTES];
    let mut first = true;
    while from.read_exact(&mut head).is_ok() {
        let (header, _) = Header::decode(&head).expect("a header");
        let rest = u64::from(header.body_bytes) + header.payload_bytes;
        let mut frame = head.to_vec();
        frame.resize(HEADER_BYTES + rest as usize, 0);
        if from.read_exact(&mut frame[HEADER_BYTES..]).is_err() {
            return;
        }
        if header.kind == kind && std::mem::take(&mut first) {
            tell.send(()).expect("a test");
            wait.recv_timeout(PATIENCE).expect("a test that goes on");
        }
        if to.write_all(&frame).is_err() {
            return;
        }
    }
}

/// Pulls everything of `source` into `target`, and does `meanwhile` while the first answer of a
/// kind is on its way.
fn pull_while(source: &Rig, target: &Rig, kind: Kind, meanwhile: impl FnOnce()) -> PullResult {
    let gate = Gate::before(source, kind);
    let mut asked = request(source, ALL.to_vec());
    asked.peer_address.clone_from(&gate.address);
    thread::scope(|scope| {
        let pull = scope.spawn(|| target.node.pull(&asked).expect("a pull"));
        gate.held.recv_timeout(PATIENCE).expect("an answer");
        meanwhile();
        gate.go_on.send(()).expect("a gate");
        pull.join().expect("a pull")
    })
}

fn other_bytes(number: u64) -> Block {
    Block {
        id: id_of(number),
        bytes: bytes_of(number + 1_000, BLOCK_BYTES as usize),
    }
}

/// Makes `rig` a previous owner of every group.
fn lose_groups(rig: &Rig) {
    rig.node
        .set_route(EPOCH + 1, GROUPS, &[0; GROUPS as usize / 8])
        .expect("a route");
}

#[test]
fn a_block_deleted_while_it_is_copied_stays_deleted() {
    for kind in [Kind::ListAnswer, Kind::GetAnswer] {
        let (source, target) = (Rig::new(), Rig::new());
        fill(&source, 0..4, 5);
        let result = pull_while(&source, &target, kind, || {
            let deleted = target.open(TCP).delete(&[id_of(1), id_of(2)]);
            assert_eq!(deleted, [KeyStatus::Miss, KeyStatus::Miss]);
        });
        assert_eq!(result.blocks, 2, "{kind:?}");
        let ids: Vec<_> = (0..4).map(id_of).collect();
        let found = target.open(TCP).exists(&ids);
        assert_eq!(found, [true, false, false, true], "{kind:?}");
        assert!(target.is_at_rest());
    }
}

#[test]
fn bytes_put_after_a_delete_outlive_the_copy_of_those_before() {
    for kind in [Kind::ListAnswer, Kind::GetAnswer] {
        let (source, target) = (Rig::new(), Rig::new());
        fill(&source, 0..2, 5);
        let newer = other_bytes(1);
        pull_while(&source, &target, kind, || {
            let mut caller = target.open(TCP);
            caller.delete(&[newer.id]);
            assert_eq!(
                caller.put(6, std::slice::from_ref(&newer)),
                [KeyStatus::Stored]
            );
        });
        let found = target.open(TCP).get(&[id_of(0), newer.id]);
        assert!(found[0].1 == block(0).bytes);
        assert!(found[1].1 == newer.bytes, "{kind:?}");
    }
}

#[test]
fn what_was_put_and_deleted_during_a_copy_does_not_come_back_as_it_was() {
    let (source, target) = (Rig::new(), Rig::new());
    fill(&source, 0..1, 5);
    let newer = other_bytes(0);
    let result = pull_while(&source, &target, Kind::ListAnswer, || {
        let mut caller = target.open(TCP);
        caller.put(6, std::slice::from_ref(&newer));
        assert_eq!(caller.delete(&[newer.id]), [KeyStatus::Hit]);
    });
    assert_eq!(result.blocks, 0);
    assert_eq!(target.open(TCP).exists(&[newer.id]), [false]);
}

#[test]
fn a_delete_that_has_not_reached_the_previous_owner_is_obeyed_by_the_next() {
    let (source, target) = (Rig::new(), Rig::new());
    fill(&source, 0..2, 5);
    target.open(TCP).delete(&[id_of(0)]);
    let result = target.node.pull(&request(&source, ALL.to_vec()));
    assert_eq!(result.expect("a pull").blocks, 1);
    let found = target.open(TCP).exists(&[id_of(0), id_of(1)]);
    assert_eq!(found, [false, true]);
}

#[test]
fn a_previous_owner_deletes_what_it_still_holds() {
    let rig = Rig::new();
    fill(&rig, 0..3, 5);
    lose_groups(&rig);
    let mut caller = rig.open(TCP);
    let unaware = caller.delete(&[id_of(0)]);
    assert_eq!(unaware, [KeyStatus::NotOwner], "the owner is to be asked");
    caller.epoch = EPOCH + 1;
    let aware = caller.delete(&[id_of(1), id_of(9)]);
    assert_eq!(aware, [KeyStatus::Hit, KeyStatus::NotOwner]);
    let found = caller.exists(&[id_of(0), id_of(1), id_of(2)]);
    assert_eq!(found, [false, false, true]);
}

#[test]
fn nothing_is_taken_from_a_node_that_still_counts_as_owner() {
    let (source, target) = (Rig::new(), Rig::new());
    fill(&source, 0..2, 5);
    target
        .node
        .set_route(EPOCH + 1, GROUPS, &[0xFF; GROUPS as usize / 8])
        .expect("a route");
    let mut asked = request(&source, ALL.to_vec());
    asked.deadline_ms = 100;
    let error = target.node.pull(&asked).expect_err("a wait in vain");
    assert!(error.to_string().contains("deadline"), "{error}");
    // What is done by the older map is done before the list.
    let mut caller = source.open(TCP);
    assert_eq!(caller.delete(&[id_of(0)]), [KeyStatus::Hit]);
    assert_eq!(caller.put(6, &[block(7)]), [KeyStatus::Stored]);
    lose_groups(&source);
    asked.deadline_ms = 20_000;
    assert_eq!(target.node.pull(&asked).expect("a pull").blocks, 2);
    let found = target.open(TCP).exists(&[id_of(0), id_of(1), id_of(7)]);
    assert_eq!(found, [false, true, true]);
}
