//! What is encoded is decoded again, and no bytes whatever make a decoder panic.

use holdfast_flash::layout::{
    BATCH_ENTRIES_MAX, BatchHead, Entry, FLAG_DURABLE, FLAG_TOMBSTONE, FooterTail, Geometry,
    LayoutError, PAGE_BYTES, SegmentHead, SegmentKind, Superblock, decode_batch, decode_footer,
    encode_batch, encode_footer,
};
use holdfast_flash::layout::{ENTRY_BYTES, HEAD_BYTES};
use proptest::prelude::*;

fn geometry() -> Geometry {
    Geometry::new(4 << 20, 100).expect("a geometry")
}

fn superblock() -> Superblock {
    Superblock {
        cluster: [1; 16],
        node: 2,
        store: [3; 16],
        created_at: 4,
        geometry: geometry(),
    }
}

fn head() -> SegmentHead {
    SegmentHead {
        store: [3; 16],
        sequence: 9,
        salt: 0x1234_5678_9ABC,
        kind: SegmentKind::Durable,
        opened_at: 77,
    }
}

fn entry(number: u32) -> Entry {
    let tombstone = number.is_multiple_of(5);
    Entry {
        id: [number as u8; 16],
        tenant: 1,
        space: 2,
        payload_bytes: if tombstone { 0 } else { 5000 },
        crc: number * 3,
        write_id: number * 5,
        position: number,
        page: 1 + number % 1000,
        birth_s: 1_700_000_000,
        ttl_s: 60,
        priority: 3,
        flags: if tombstone {
            FLAG_TOMBSTONE
        } else {
            FLAG_DURABLE
        },
    }
}

fn batch(count: usize) -> (BatchHead, Vec<Entry>, Vec<u8>) {
    let head = BatchHead {
        store: [3; 16],
        sequence: 9,
        salt: 0x1234_5678_9ABC,
        number: 4,
        entries: count as u32,
        pages: BatchHead::head_pages(count) + 7,
        synced: 3,
    };
    let entries: Vec<Entry> = (0..count as u32).map(entry).collect();
    let mut bytes = vec![0; BatchHead::head_pages(count) as usize * PAGE_BYTES];
    encode_batch(&head, &entries, &mut bytes);
    (head, entries, bytes)
}

fn footer(count: usize) -> (FooterTail, Vec<Entry>, Vec<u8>) {
    let entries: Vec<Entry> = (0..count as u32).map(entry).collect();
    let tail = FooterTail {
        store: [3; 16],
        sequence: 9,
        salt: 0x1234_5678_9ABC,
        kind: SegmentKind::Cache,
        entries: 0,
        closed_at: 99,
        entries_crc: 0,
    };
    let mut bytes = vec![0; FooterTail::footer_pages(count) as usize * PAGE_BYTES];
    encode_footer(&tail, &entries, &mut bytes);
    (tail, entries, bytes)
}

#[test]
fn a_superblock_is_read_again() {
    assert_eq!(Superblock::decode(&superblock().encode()), Ok(superblock()));
}

#[test]
fn a_head_is_read_again_and_zeros_are_a_free_segment() {
    assert_eq!(SegmentHead::decode(&head().encode()), Ok(Some(head())));
    assert_eq!(SegmentHead::decode(&[0; PAGE_BYTES]), Ok(None));
}

#[test]
fn batches_of_every_size_are_read_again() {
    for count in [1, 62, 63, 64, 127, 128, BATCH_ENTRIES_MAX] {
        let (head, entries, bytes) = batch(count);
        assert_eq!(decode_batch(&bytes, &geometry()), Ok((head, entries)));
    }
}

#[test]
fn footers_of_every_size_are_read_again() {
    for count in [0, 1, 62, 63, 64, 1000] {
        let (_, entries, bytes) = footer(count);
        let tail = FooterTail::decode(&bytes, &geometry()).expect("a tail");
        assert_eq!(tail.pages() as usize * PAGE_BYTES, bytes.len());
        assert_eq!(decode_footer(&tail, &bytes, &geometry()), Ok(entries));
    }
}

#[test]
fn an_unknown_version_is_told_with_both_numbers() {
    let mut page = superblock().encode();
    page[4] = 7;
    let crc = holdfast_wire::checksum::crc32c(&page[..72]);
    page[72..76].copy_from_slice(&crc.to_le_bytes());
    let error = Superblock::decode(&page).expect_err("another version");
    assert_eq!(
        error.to_string(),
        "this superblock has format version 7, this program knows version 1"
    );
}

#[test]
fn a_changed_byte_of_a_structure_is_noticed() {
    let (_, _, bytes) = batch(3);
    for at in 0..HEAD_BYTES + 3 * ENTRY_BYTES {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(decode_batch(&damaged, &geometry()).is_err(), "byte {at}");
    }
    let (_, _, bytes) = footer(3);
    for at in bytes.len() - HEAD_BYTES - 3 * ENTRY_BYTES..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let read = FooterTail::decode(&damaged, &geometry())
            .and_then(|tail| decode_footer(&tail, &damaged, &geometry()));
        assert!(read.is_err(), "byte {at}");
    }
}

#[test]
fn a_payload_outside_of_its_segment_is_refused() {
    let mut bytes = [0; ENTRY_BYTES];
    let outside = Entry {
        page: 1023,
        ..entry(1)
    };
    outside.encode(&mut bytes);
    let error = Entry::decode(&bytes, &geometry()).expect_err("two pages from the last on");
    assert!(matches!(error, LayoutError::Field { field: "page", .. }));
}

#[test]
fn pages_are_named_over_all_segments() {
    let geometry = geometry();
    let page = geometry.page(7, 123);
    assert_eq!(geometry.split(page), (7, 123));
    assert_eq!(geometry.offset(7, 123), 8 * (4 << 20) + 123 * 4096);
    assert!(Geometry::new(5 << 20, 1).is_none());
    assert!(Geometry::new(1 << 30, 1 << 16).is_none());
}

/// A valid structure with a few bytes replaced, or random bytes.
fn disturbed(valid: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let changed = changes.prop_map(move |changes| {
        let mut bytes = valid.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes
    });
    prop_oneof![changed, prop::collection::vec(any::<u8>(), 0..9000)]
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        superblock in disturbed(superblock().encode().to_vec()),
        head in disturbed(head().encode().to_vec()),
        batch in disturbed(batch(70).2),
        footer in disturbed(footer(70).2),
        entries in any::<u32>(),
    ) {
        let _ = Superblock::decode(&superblock);
        let _ = SegmentHead::decode(&head);
        let _ = decode_batch(&batch, &geometry());
        if let Ok(tail) = FooterTail::decode(&footer, &geometry()) {
            let _ = decode_footer(&tail, &footer, &geometry());
            let tail = FooterTail { entries, ..tail };
            let _ = decode_footer(&tail, &footer, &geometry());
        }
        let _ = Entry::decode(&batch, &geometry());
    }
}
