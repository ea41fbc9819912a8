//! Bytes lie where `docs/formats.md` draws them.

use holdfast_flash::layout::{
    BatchHead, ENTRY_BYTES, Entry, FLAG_DEEPEST, FLAG_DURABLE, FLAG_REINSERTED, FLAG_TOMBSTONE,
    FooterTail, Geometry, HEAD_BYTES, PAGE_BYTES, SegmentHead, SegmentKind, Superblock,
    encode_batch, encode_footer,
};
use holdfast_wire::checksum::crc32c;

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let mut wide = [0; 8];
    wide[..size].copy_from_slice(&bytes[at..at + size]);
    u64::from_le_bytes(wide)
}

fn entry() -> Entry {
    Entry {
        id: *b"0123456789abcdef",
        tenant: 11,
        space: 12,
        payload_bytes: 13,
        crc: 14,
        write_id: 15,
        position: 16,
        page: 17,
        birth_s: 18,
        ttl_s: 19,
        priority: 20,
        flags: FLAG_DURABLE | FLAG_REINSERTED,
    }
}

#[test]
fn superblock() {
    let page = Superblock {
        cluster: [1; 16],
        node: 2,
        store: [3; 16],
        created_at: 4,
        geometry: Geometry::new(8 << 20, 5).expect("a geometry"),
    }
    .encode();
    assert_eq!(page.len(), PAGE_BYTES);
    assert_eq!((&page[..4], number(&page, 4, 2)), (&b"HFSB"[..], 1));
    assert_eq!((&page[8..24], &page[32..48]), (&[1; 16][..], &[3; 16][..]));
    assert_eq!((number(&page, 24, 8), number(&page, 48, 8)), (2, 4));
    assert_eq!((number(&page, 56, 4), number(&page, 60, 4)), (4096, 5));
    assert_eq!(number(&page, 64, 8), 8 << 20);
    assert_eq!(number(&page, 72, 4), u64::from(crc32c(&page[..72])));
}

#[test]
fn segment_head() {
    let page = SegmentHead {
        store: [3; 16],
        sequence: 4,
        salt: 5,
        kind: SegmentKind::Durable,
        opened_at: 6,
    }
    .encode();
    assert_eq!((&page[..4], number(&page, 4, 2)), (&b"HFSG"[..], 1));
    assert_eq!((page[6], &page[8..24]), (2, &[3; 16][..]));
    assert_eq!((number(&page, 24, 8), number(&page, 32, 8)), (4, 6));
    assert_eq!(number(&page, 40, 8), 5);
    assert_eq!(number(&page, 60, 4), u64::from(crc32c(&page[..60])));
    assert!(page[HEAD_BYTES..].iter().all(|&byte| byte == 0));
}

#[test]
fn entries() {
    let mut bytes = [0; ENTRY_BYTES];
    entry().encode(&mut bytes);
    assert_eq!(&bytes[..16], b"0123456789abcdef");
    for (field, at) in (11..=19).zip((16..52).step_by(4)) {
        assert_eq!(number(&bytes, at, 4), field, "offset {at}");
    }
    assert_eq!((bytes[52], bytes[53]), (20, 6));
    let flags = [FLAG_TOMBSTONE, FLAG_DURABLE, FLAG_REINSERTED, FLAG_DEEPEST];
    assert_eq!(flags, [1, 2, 4, 8]);
}

#[test]
fn batch() {
    let head = BatchHead {
        store: [3; 16],
        sequence: 4,
        salt: 5,
        number: 6,
        entries: 2,
        pages: 7,
        synced: 8,
    };
    let mut bytes = vec![0; PAGE_BYTES];
    encode_batch(&head, &[entry(), entry()], &mut bytes);
    assert_eq!((&bytes[..4], number(&bytes, 4, 2)), (&b"HFBA"[..], 1));
    assert_eq!(&bytes[8..24], &[3; 16]);
    let fields = [
        (24, 8, 4),
        (32, 4, 6),
        (36, 4, 2),
        (40, 4, 7),
        (44, 4, 8),
        (48, 8, 5),
    ];
    for (at, size, value) in fields {
        assert_eq!(number(&bytes, at, size), value, "offset {at}");
    }
    let mut summed = bytes[..60].to_vec();
    summed.extend_from_slice(&bytes[64..64 + 128]);
    assert_eq!(number(&bytes, 60, 4), u64::from(crc32c(&summed)));
    assert_eq!(&bytes[64..80], b"0123456789abcdef");
}

#[test]
fn footer() {
    let tail = FooterTail {
        store: [3; 16],
        sequence: 4,
        salt: 5,
        kind: SegmentKind::Cache,
        entries: 0,
        closed_at: 6,
        entries_crc: 0,
    };
    let mut bytes = vec![0; PAGE_BYTES];
    encode_footer(&tail, &[entry()], &mut bytes);
    assert_eq!(
        &bytes[PAGE_BYTES - 128..PAGE_BYTES - 112],
        b"0123456789abcdef"
    );
    let entries_crc = crc32c(&bytes[PAGE_BYTES - 128..PAGE_BYTES - 64]);
    let tail = &bytes[PAGE_BYTES - 64..];
    assert_eq!((&tail[..4], number(tail, 4, 2)), (&b"HFSF"[..], 1));
    assert_eq!((tail[6], &tail[8..24]), (1, &[3; 16][..]));
    for (at, size, value) in [(24, 8, 4), (32, 4, 1), (40, 8, 6), (48, 8, 5)] {
        assert_eq!(number(tail, at, size), value, "offset {at}");
    }
    assert_eq!(number(tail, 56, 4), u64::from(entries_crc));
    assert_eq!(number(tail, 60, 4), u64::from(crc32c(&tail[..60])));
}
