//! The bytes of every message of protocol version 1, as they were drawn. A change that breaks
//! this test breaks clusters that run two versions at once.
//!
//! `UPDATE_GOLDEN=1 cargo test -p holdfast-wire --test golden` writes the file anew, for a
//! message that is added; lines that are there must not change.

use std::fmt::Write;
use std::path::PathBuf;

use holdfast_wire::{
    AnswerStatus, BindRequest, BlockAnswer, GetAnswer, Header, Hello, KeyStatus, KeysRequest, Kind,
    ListAnswer, ListRequest, ListedBlock, LocatedAnswer, LocatedBlock, OfferedEntry, OfferedPut,
    Piece, PutDone, PutEntry, PutGrant, PutRequest, Refusal, RegionOffer, SpaceKey, StatAnswer,
    StatEntry, Ticket, TicketKind, TicketVerifier, TransportKind, Verdict, ViewAnnounce, Welcome,
    group_of,
};

const CLUSTER: [u8; 16] = *b"cluster-of-tests";
const ID: [u8; 16] = *b"0123456789abcdef";
const OTHER: [u8; 16] = *b"fedcba9876543210";
const PRIVATE_KEY: [u8; 32] = [3; 32];

fn body(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&mut bytes);
    bytes
}

fn ticket() -> Ticket {
    Ticket {
        kind: TicketKind::Space,
        key_id: 0x0102_0304_0506_0708,
        cluster: CLUSTER,
        tenant: 5,
        space: 9,
        block_bytes: 1 << 20,
        ttl_s: 3600,
        priority: 2,
        copies: 1,
        node: 0,
        issued_at_s: 1_700_000_000,
        expires_at_s: 1_700_000_600,
    }
}

fn hello() -> Hello {
    Hello {
        version_min: 1,
        version_max: 2,
        features: 0x8000_0000_0000_0001,
        cluster: CLUSTER,
        node: 3,
        client: [0xC1; 16],
        transport: TransportKind::SharedMemory,
        ticket: ticket().sign(&PRIVATE_KEY),
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        version_min: 1,
        version_max: 1,
        features: 0,
        cluster: CLUSTER,
        node: 3,
        incarnation: 77,
        requests_max: 256,
        grant_bytes_max: 256 << 20,
        text: "why".to_owned(),
    }
}

fn put() -> PutRequest {
    PutRequest {
        space: 9,
        write_id: 0xAABB_CCDD,
        entries: [ID, OTHER]
            .into_iter()
            .zip([0, 7])
            .map(|(id, position)| PutEntry { id, position })
            .collect(),
    }
}

fn offered_put() -> OfferedPut {
    let piece = |offset| Piece {
        region: 4,
        bytes: 4096,
        offset,
    };
    OfferedPut {
        space: 9,
        write_id: 1,
        entries: vec![OfferedEntry {
            id: ID,
            position: 6,
            crc: 0x1234_5678,
            pieces: 2,
        }],
        pieces: vec![piece(0), piece(1 << 33)],
    }
}

fn list_answer() -> ListAnswer {
    ListAnswer {
        next: 99,
        blocks: vec![ListedBlock {
            id: ID,
            tenant: 5,
            space: 9,
            block_bytes: 1 << 20,
            crc: 0x1234_5678,
            write_id: 0xAABB_CCDD,
            position: 31,
            ttl_left_ms: 1000,
        }],
    }
}

/// One answer a key: a hit and a miss.
fn per_key() -> [(&'static str, Vec<u8>); 5] {
    let entry = |status, crc, write_id| BlockAnswer {
        status,
        crc,
        write_id,
    };
    let get = body(|out| {
        GetAnswer::push(out, &entry(KeyStatus::Hit, 0x1234_5678, 0xAABB_CCDD));
        GetAnswer::push(out, &entry(KeyStatus::Miss, 0, 0));
    });
    let located = body(|out| {
        let block = LocatedBlock {
            status: KeyStatus::Hit,
            crc: 0x1234_5678,
            write_id: 0xAABB_CCDD,
            view: 17,
            offset: 1 << 24,
        };
        LocatedAnswer::push(out, &block);
    });
    let stat = body(|out| {
        let entry = StatEntry {
            status: KeyStatus::Hit,
            position_class: 4,
            touches: 15,
            pinned: true,
            crc: 0x1234_5678,
            write_id: 0xAABB_CCDD,
            age_ms: 123_456,
        };
        StatAnswer::push(out, &entry);
    });
    let grant = body(|out| {
        for verdict in 0..=5 {
            PutGrant::push(out, Verdict::try_from(verdict).expect("a verdict"));
        }
    });
    let done = body(|out| {
        for status in 0..=11 {
            PutDone::push(out, KeyStatus::try_from(status).expect("a status"));
        }
    });
    [
        ("get answer", get),
        ("located answer", located),
        ("stat answer", stat),
        ("put grant", grant),
        ("statuses", done),
    ]
}

fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let mut header = Header::new(Kind::GetAnswer, 0x0A0B_0C0D);
    header.status = AnswerStatus::Busy;
    header.deadline_ms = 30_000;
    header.payload_bytes = 32 << 20;
    header.epoch = 41;
    let keys = KeysRequest {
        space: 9,
        argument: 1500,
        ids: &[ID, OTHER],
    };
    let list = ListRequest {
        cursor: 98,
        limit: 1000,
        group_count: 12,
        groups: vec![0xFF, 0x0F],
    };
    let view = ViewAnnounce {
        view: 17,
        bytes: 16 << 20,
    };
    let offer = RegionOffer {
        region: 4,
        bytes: 1 << 30,
    };
    let bind = BindRequest {
        ticket: ticket().sign(&PRIVATE_KEY),
    };
    let mut messages = vec![
        ("frame", body(|out| header.encode(b"body", out))),
        ("ticket", ticket().sign(&PRIVATE_KEY).to_vec()),
        ("hello", body(|out| hello().encode(out))),
        ("welcome", body(|out| welcome().encode(out))),
        ("bind", body(|out| bind.encode(out))),
        ("refusal", body(|out| Refusal::encode("why", out))),
        ("keys", body(|out| keys.encode(out))),
        ("put", body(|out| put().encode(out))),
        ("offered put", body(|out| offered_put().encode(out))),
        ("list", body(|out| list.encode(out))),
        ("list answer", body(|out| list_answer().encode(out))),
        ("view", body(|out| view.encode(out))),
        ("offer", body(|out| offer.encode(out))),
        (
            "block id",
            SpaceKey::new(&CLUSTER, 5, 9).block_id(b"key").to_vec(),
        ),
        ("group of 4096", group_of(&ID, 4096).to_le_bytes().to_vec()),
    ];
    messages.extend(per_key());
    messages
}

#[test]
fn messages_have_the_bytes_that_were_drawn() {
    let mut found = String::new();
    for (name, bytes) in messages() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(found, "{name}: {hex}").expect("a string");
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/version_1.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &found).expect("a writable tree");
    }
    let expected = std::fs::read_to_string(&path).expect("the golden file");
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

#[test]
fn a_drawn_ticket_is_verified() {
    let verifier = TicketVerifier::new(
        CLUSTER,
        &[(ticket().key_id, Ticket::public_key(&PRIVATE_KEY))],
    );
    let bytes = ticket().sign(&PRIVATE_KEY);
    assert_eq!(verifier.verify(&bytes, 1_700_000_599), Ok(ticket()));
    assert!(verifier.verify(&bytes, 1_700_000_600).is_err());
    for at in 0..bytes.len() {
        let mut damaged = bytes;
        damaged[at] ^= 0x10;
        assert!(verifier.verify(&damaged, 0).is_err(), "byte {at}");
    }
}
