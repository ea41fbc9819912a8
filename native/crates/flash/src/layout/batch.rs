use holdfast_wire::checksum::Crc32c;

use super::fields::{bytes_at, put, u32_at, u64_at, version};
use super::{ENTRY_BYTES, Entry, FORMAT_VERSION, Geometry, HEAD_BYTES, LayoutError, PAGE_BYTES};
use super::{StoreId, pages_of};

const MAGIC: [u8; 4] = *b"HFBA";
const CRC_AT: usize = HEAD_BYTES - 4;
const WHAT: &str = "batch";

/// Most entries of one batch: head and entries fill four pages, and the pieces of its write stay
/// below what one vectored write may have.
pub const BATCH_ENTRIES_MAX: usize = 4 * PAGE_BYTES / ENTRY_BYTES - 1;

/// Head of a batch: its entries follow, then the payloads, each from a page of its own on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHead {
    /// The store.
    pub store: StoreId,
    /// Sequence of the segment.
    pub sequence: u64,
    /// Salt of the segment.
    pub salt: u64,
    /// Number of the batch in its segment, from 0.
    pub number: u32,
    /// Entries, 1 to [`BATCH_ENTRIES_MAX`].
    pub entries: u32,
    /// Pages of head, entries and payloads together.
    pub pages: u32,
    /// How many batches of the segment, from the first, were known to be on stable storage when
    /// this one was written.
    pub synced: u32,
}

impl BatchHead {
    /// Pages that head and `entries` entries take.
    #[must_use]
    pub fn head_pages(entries: usize) -> u32 {
        pages_of((HEAD_BYTES + entries * ENTRY_BYTES) as u64)
    }
}

/// Writes head and entries to `out`: whole pages of zeros, as many as [`BatchHead::head_pages`]
/// says.
///
/// # Panics
/// `out` is too small, or the head names another number of entries.
pub fn encode_batch(head: &BatchHead, entries: &[Entry], out: &mut [u8]) {
    assert_eq!(head.entries as usize, entries.len(), "entries of a batch");
    put(out, 0, &MAGIC);
    put(out, 4, &FORMAT_VERSION.to_le_bytes());
    put(out, 8, &head.store);
    put(out, 24, &head.sequence.to_le_bytes());
    put(out, 32, &head.number.to_le_bytes());
    put(out, 36, &head.entries.to_le_bytes());
    put(out, 40, &head.pages.to_le_bytes());
    put(out, 44, &head.synced.to_le_bytes());
    put(out, 48, &head.salt.to_le_bytes());
    for (number, entry) in entries.iter().enumerate() {
        entry.encode(&mut out[HEAD_BYTES + number * ENTRY_BYTES..]);
    }
    let crc = sum(out, entries.len());
    put(out, CRC_AT, &crc.to_le_bytes());
}

/// Reads head and entries of a batch; `bytes` may go on beyond them.
///
/// # Errors
/// It is not a batch, is damaged, of another version, says what no writer writes, or has more
/// entries than `bytes` hold.
pub fn decode_batch(
    bytes: &[u8],
    geometry: &Geometry,
) -> Result<(BatchHead, Vec<Entry>), LayoutError> {
    let short = |needed| LayoutError::Short {
        what: WHAT,
        bytes: bytes.len(),
        needed,
    };
    if bytes.len() < HEAD_BYTES {
        return Err(short(HEAD_BYTES));
    }
    if bytes[..4] != MAGIC {
        return Err(LayoutError::Magic { what: WHAT });
    }
    let head = BatchHead {
        store: bytes_at(bytes, 8),
        sequence: u64_at(bytes, 24),
        number: u32_at(bytes, 32),
        entries: u32_at(bytes, 36),
        pages: u32_at(bytes, 40),
        synced: u32_at(bytes, 44),
        salt: u64_at(bytes, 48),
    };
    let count = head.entries as usize;
    if count == 0 || count > BATCH_ENTRIES_MAX {
        return Err(LayoutError::Field {
            what: WHAT,
            field: "entries",
            value: head.entries.into(),
        });
    }
    let needed = HEAD_BYTES + count * ENTRY_BYTES;
    if bytes.len() < needed {
        return Err(short(needed));
    }
    if sum(bytes, count) != u32_at(bytes, CRC_AT) {
        return Err(LayoutError::Checksum { what: WHAT });
    }
    version(bytes, WHAT)?;
    let entries = bytes[HEAD_BYTES..needed]
        .chunks_exact(ENTRY_BYTES)
        .map(|bytes| Entry::decode(bytes, geometry))
        .collect::<Result<Vec<_>, _>>()?;
    if head.pages < BatchHead::head_pages(count) || head.pages > geometry.segment_pages() {
        return Err(LayoutError::Field {
            what: WHAT,
            field: "pages",
            value: head.pages.into(),
        });
    }
    Ok((head, entries))
}

/// Checksum of the head, without the place of the checksum itself, and of the entries.
fn sum(bytes: &[u8], entries: usize) -> u32 {
    let mut sum = Crc32c::new();
    sum.update(&bytes[..CRC_AT]);
    sum.update(&bytes[HEAD_BYTES..HEAD_BYTES + entries * ENTRY_BYTES]);
    sum.value()
}
