//! What is special where caller and node share memory.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use holdfast_transport::{Mapping, MemoryFile};
use holdfast_wire::checksum::crc32c;
use holdfast_wire::{AnswerStatus, KeyStatus, Kind, TransportKind};
use std::os::fd::AsFd;

use crate::block;
use crate::support::ops::keys_body;
use crate::support::rig::{BLOCK_BYTES, Rig, SPACE, TENANT};
use crate::support::{bytes_of, eventually, id_of};

const SHARED: TransportKind = TransportKind::SharedMemory;
const BLOCK: u64 = BLOCK_BYTES as u64;

/// A memory file with these bytes.
fn memory(bytes: &[u8], sealed: bool) -> OwnedFd {
    let file = MemoryFile::create(c"test", bytes.len() as u64).expect("a memory file");
    let mapping = Mapping::writable(file.as_fd(), bytes.len()).expect("a mapping");
    // SAFETY: the mapping has this size and nobody else knows of it yet.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), mapping.address(), bytes.len()) };
    if sealed {
        file.seal_size().expect("seals");
    }
    file.into_descriptor()
}

fn truncate(descriptor: &OwnedFd, bytes: u64) {
    let file = File::from(descriptor.try_clone().expect("a descriptor"));
    file.set_len(bytes).expect("an unsealed file");
}

#[test]
fn blocks_are_copied_out_of_offered_memory_in_pieces() {
    for sealed in [true, false] {
        let rig = Rig::new();
        let mut caller = rig.open(SHARED);
        let bytes = bytes_of(5, 4 * BLOCK as usize);
        let offered = memory(&bytes, sealed);
        let answer = caller.offer(1, 4 * BLOCK, &offered);
        assert_eq!(answer.header.status, AnswerStatus::Ok);
        let half = BLOCK_BYTES / 2;
        // One block as it lies, one made of two halves from far apart, one with a wrong sum.
        let scattered = [
            &bytes[3 * BLOCK as usize..][..half as usize],
            &bytes[..half as usize],
        ]
        .concat();
        let statuses = caller.put_offered(
            1,
            &[
                (
                    id_of(0),
                    crc32c(&bytes[..BLOCK as usize]),
                    vec![(0, BLOCK_BYTES)],
                ),
                (
                    id_of(1),
                    crc32c(&scattered),
                    vec![(3 * BLOCK, half), (0, half)],
                ),
                (id_of(2), 1, vec![(BLOCK, BLOCK_BYTES)]),
            ],
        );
        let stored = KeyStatus::Stored;
        assert_eq!(statuses, [stored, stored, KeyStatus::Corrupt]);
        let found = caller.get(&[id_of(0), id_of(1), id_of(2)]);
        assert!(found[0].1 == bytes[..BLOCK as usize]);
        assert!(found[1].1 == scattered);
        assert_eq!(found[2].0, KeyStatus::Miss);
        assert_eq!(caller.withdraw(1).header.status, AnswerStatus::Ok);
        let statuses = caller.put_offered(1, &[(id_of(9), 0, vec![(0, BLOCK_BYTES)])]);
        assert_eq!(statuses, [KeyStatus::Refused]);
        assert!(rig.is_at_rest());
    }
}

#[test]
fn a_file_cut_short_under_a_put_costs_that_put_and_nothing_else() {
    let rig = Rig::new();
    let mut caller = rig.open(SHARED);
    let bytes = bytes_of(5, 2 * BLOCK as usize);
    let offered = memory(&bytes, false);
    caller.offer(1, 2 * BLOCK, &offered);
    truncate(&offered, BLOCK + 100);
    let blocks = [
        (
            id_of(0),
            crc32c(&bytes[..BLOCK as usize]),
            vec![(0, BLOCK_BYTES)],
        ),
        (
            id_of(1),
            crc32c(&bytes[BLOCK as usize..]),
            vec![(BLOCK, BLOCK_BYTES)],
        ),
    ];
    let statuses = caller.put_offered(1, &blocks);
    assert_eq!(statuses, [KeyStatus::Stored, KeyStatus::Refused]);
    truncate(&offered, 0);
    assert_eq!(caller.put_offered(1, &blocks)[1], KeyStatus::Refused);
    assert_eq!(caller.exists(&[id_of(0), id_of(1)]), [true, false]);
    assert!(rig.is_at_rest());
}

#[test]
fn pieces_outside_the_region_or_of_another_size_are_refused() {
    let rig = Rig::new();
    let mut caller = rig.open(SHARED);
    let offered = memory(&bytes_of(5, 2 * BLOCK as usize), true);
    caller.offer(7, 2 * BLOCK, &offered);
    for pieces in [
        vec![(BLOCK + 1, BLOCK_BYTES)],
        vec![(u64::MAX - 10, BLOCK_BYTES)],
        vec![(0, BLOCK_BYTES - 1)],
        vec![(0, BLOCK_BYTES), (0, 1)],
        vec![],
    ] {
        let statuses = caller.put_offered(7, &[(id_of(0), 0, pieces)]);
        assert_eq!(statuses, [KeyStatus::Refused]);
    }
    let statuses = caller.put_offered(8, &[(id_of(0), 0, vec![(0, BLOCK_BYTES)])]);
    assert_eq!(statuses, [KeyStatus::Refused], "another region");
}

#[test]
fn only_files_that_cannot_hold_a_node_up_are_taken() {
    let rig = Rig::new();
    let mut caller = rig.open(SHARED);
    let offered = memory(&[0; 4096], true);
    let answer = caller.offer(1, 4097, &offered);
    assert_eq!(answer.header.status, AnswerStatus::PermissionDenied);
    assert!(answer.text().contains("4097"), "{}", answer.text());
    let device: OwnedFd = File::open("/dev/zero").expect("a device").into();
    let answer = caller.offer(1, 4096, &device);
    assert_eq!(answer.header.status, AnswerStatus::PermissionDenied);
    assert_eq!(
        caller.offer(1, 4096, &offered).header.status,
        AnswerStatus::Ok
    );
    let again = caller.offer(1, 4096, &offered);
    assert_eq!(again.header.status, AnswerStatus::PermissionDenied);
}

#[test]
fn an_offer_without_a_descriptor_ends_the_connection() {
    let rig = Rig::new();
    let mut caller = rig.open(SHARED);
    let mut body = Vec::new();
    let offer = holdfast_wire::RegionOffer {
        region: 1,
        bytes: 4096,
    };
    offer.encode(&mut body);
    caller.send(Kind::Offer, &body);
    assert_eq!(caller.goodbye().header.status, AnswerStatus::Malformed);
}

#[test]
fn streams_over_the_unix_socket_carry_payload() {
    let rig = Rig::new();
    let mut caller = rig.connect_unix();
    caller.greet(TransportKind::Tcp, &rig.tenant_ticket(TENANT));
    caller.bind(&rig.space_ticket(TENANT, SPACE, BLOCK_BYTES));
    assert_eq!(caller.put(1, &[block(0)]), [KeyStatus::Stored]);
    assert!(caller.get(&[id_of(0)])[0].1 == block(0).bytes);
    assert!(caller.views.is_empty());
    let offered = memory(&[0; 4096], true);
    let answer = caller.offer(1, 4096, &offered);
    assert_eq!(answer.header.status, AnswerStatus::PermissionDenied);
}

#[test]
fn each_view_is_announced_once_and_shows_one_tenant_only() {
    let rig = Rig::new();
    let mut caller = rig.open(SHARED);
    let mut other = rig.connect(SHARED);
    other.greet(SHARED, &rig.tenant_ticket(TENANT + 1));
    other.bind(&rig.space_ticket(TENANT + 1, SPACE + 1, BLOCK_BYTES));
    for number in 0..20 {
        caller.put(1, &[block(number)]);
        assert!(caller.get(&[id_of(number)])[0].1 == block(number).bytes);
    }
    let views = caller.views.len();
    assert!(
        (1..=2).contains(&views),
        "20 blocks of 64 KiB lie in {views} extents of 4 MiB"
    );
    let request = other.send(Kind::Get, &keys_body(SPACE + 1, 0, &[id_of(0)]));
    other.answer(Kind::Located, request);
    assert!(other.views.is_empty());
}

#[test]
fn views_are_retired_when_their_extent_moves_on() {
    let rig = Rig::with(|config| config.engine.arena_bytes = 8 << 20);
    let mut caller = rig.open(SHARED);
    let ids: Vec<_> = (0..64).map(id_of).collect();
    caller.put(1, &(0..64).map(block).collect::<Vec<_>>());
    caller.get(&ids);
    let views = caller.views.len();
    assert!(views > 0);
    // Another tenant's blocks push the first one's out of their extents.
    let mut other = rig.connect(SHARED);
    other.greet(SHARED, &rig.tenant_ticket(TENANT + 1));
    other.bind(&rig.space_ticket(TENANT + 1, SPACE, BLOCK_BYTES));
    rig.node.drop_space(SPACE);
    let mut third = rig.connect(SHARED);
    third.greet(SHARED, &rig.tenant_ticket(TENANT + 2));
    third.bind(&rig.space_ticket(TENANT + 2, SPACE + 2, BLOCK_BYTES));
    let mut body = Vec::new();
    let put = holdfast_wire::PutRequest {
        space: SPACE + 2,
        write_id: 1,
        entries: (0..120)
            .map(|number| holdfast_wire::PutEntry {
                id: id_of(1000 + number),
                position: 0,
            })
            .collect(),
    };
    put.encode(&mut body);
    let request = third.send(Kind::Put, &body);
    third.answer(Kind::PutGrant, request);
    eventually("the first tenant's views are retired", || {
        let request = caller.send(Kind::Ping, &[]);
        caller.answer(Kind::PingAnswer, request);
        caller.views.is_empty()
    });
    assert_eq!(caller.retired.len(), views);
    assert!(caller.stream.as_raw_fd() >= 0);
}
