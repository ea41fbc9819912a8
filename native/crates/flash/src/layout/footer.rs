use holdfast_wire::checksum::crc32c;

use super::fields::{bytes_at, check, put, u32_at, u64_at};
use super::{
    ENTRY_BYTES, Entry, FORMAT_VERSION, Geometry, HEAD_BYTES, LayoutError, PAGE_BYTES, SegmentKind,
    StoreId, pages_of,
};

const MAGIC: [u8; 4] = *b"HFSF";
const CRC_AT: usize = HEAD_BYTES - 4;
const ENTRIES_CRC_AT: usize = HEAD_BYTES - 8;
const WHAT: &str = "footer";

/// Last 64 bytes of a closed segment; the entries of all its records lie before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FooterTail {
    /// The store.
    pub store: StoreId,
    /// Sequence of the segment.
    pub sequence: u64,
    /// Salt of the segment.
    pub salt: u64,
    /// What the segment is for.
    pub kind: SegmentKind,
    /// Entries in all.
    pub entries: u32,
    /// When the segment was closed, Unix seconds.
    pub closed_at: u64,
    /// CRC-32C of the entries.
    pub entries_crc: u32,
}

impl FooterTail {
    /// Pages of a footer of so many entries.
    #[must_use]
    pub fn footer_pages(entries: usize) -> u32 {
        pages_of((entries * ENTRY_BYTES + HEAD_BYTES) as u64)
    }

    /// Pages of the footer that this closes.
    #[must_use]
    pub fn pages(&self) -> u32 {
        Self::footer_pages(self.entries as usize)
    }

    /// Reads the tail from the last bytes of `bytes`.
    ///
    /// # Errors
    /// It is not a footer's, is damaged, of another version, or has more entries than a segment
    /// has room for.
    pub fn decode(bytes: &[u8], geometry: &Geometry) -> Result<Self, LayoutError> {
        let tail = &bytes[bytes.len().saturating_sub(HEAD_BYTES)..];
        check(tail, MAGIC, WHAT, CRC_AT)?;
        let entries = u32_at(tail, 32);
        let room = geometry.segment_bytes() - PAGE_BYTES as u64;
        if u64::from(entries) * (ENTRY_BYTES as u64) + HEAD_BYTES as u64 > room {
            return Err(LayoutError::Field {
                what: WHAT,
                field: "entries",
                value: entries.into(),
            });
        }
        Ok(Self {
            store: bytes_at(tail, 8),
            sequence: u64_at(tail, 24),
            kind: SegmentKind::decode(tail[6], WHAT)?,
            entries,
            closed_at: u64_at(tail, 40),
            salt: u64_at(tail, 48),
            entries_crc: u32_at(tail, ENTRIES_CRC_AT),
        })
    }
}

/// Writes the footer to `out`: whole pages of zeros, as many as [`FooterTail::footer_pages`]
/// says. Number and checksum of the entries in `tail` are replaced.
///
/// # Panics
/// `out` is too small.
pub fn encode_footer(tail: &FooterTail, entries: &[Entry], out: &mut [u8]) {
    let tail_at = out.len() - HEAD_BYTES;
    let start = tail_at - entries.len() * ENTRY_BYTES;
    for (place, entry) in out[start..tail_at]
        .chunks_exact_mut(ENTRY_BYTES)
        .zip(entries)
    {
        entry.encode(place);
    }
    let entries_crc = crc32c(&out[start..tail_at]);
    let out = &mut out[tail_at..];
    put(out, 0, &MAGIC);
    put(out, 4, &FORMAT_VERSION.to_le_bytes());
    out[6] = tail.kind as u8;
    put(out, 8, &tail.store);
    put(out, 24, &tail.sequence.to_le_bytes());
    put(out, 32, &(entries.len() as u32).to_le_bytes());
    put(out, 40, &tail.closed_at.to_le_bytes());
    put(out, 48, &tail.salt.to_le_bytes());
    put(out, ENTRIES_CRC_AT, &entries_crc.to_le_bytes());
    let crc = crc32c(&out[..CRC_AT]);
    put(out, CRC_AT, &crc.to_le_bytes());
}

/// Reads the entries that `tail` closes from the last bytes of the segment, which hold them all.
///
/// # Errors
/// Too few bytes, damaged entries, or ones that no writer writes.
pub fn decode_footer(
    tail: &FooterTail,
    bytes: &[u8],
    geometry: &Geometry,
) -> Result<Vec<Entry>, LayoutError> {
    let needed = tail.entries as usize * ENTRY_BYTES + HEAD_BYTES;
    if bytes.len() < needed {
        return Err(LayoutError::Short {
            what: WHAT,
            bytes: bytes.len(),
            needed,
        });
    }
    let entries = &bytes[bytes.len() - needed..bytes.len() - HEAD_BYTES];
    if crc32c(entries) != tail.entries_crc {
        return Err(LayoutError::Checksum { what: WHAT });
    }
    entries
        .chunks_exact(ENTRY_BYTES)
        .map(|bytes| Entry::decode(bytes, geometry))
        .collect()
}
