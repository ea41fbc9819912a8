use holdfast_wire::checksum::crc32c;

use super::fields::{bytes_at, check, put, u64_at};
use super::{FORMAT_VERSION, HEAD_BYTES, LayoutError, PAGE_BYTES, StoreId};

const MAGIC: [u8; 4] = *b"HFSG";
const CRC_AT: usize = HEAD_BYTES - 4;
const WHAT: &str = "segment head";

/// What a segment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SegmentKind {
    /// Blocks that may be given up when room is needed.
    Cache = 1,
    /// Blocks that stay until they are deleted.
    Durable = 2,
}

impl SegmentKind {
    /// The kind of a stored number.
    pub(super) fn decode(value: u8, what: &'static str) -> Result<Self, LayoutError> {
        match value {
            1 => Ok(Self::Cache),
            2 => Ok(Self::Durable),
            _ => Err(LayoutError::Field {
                what,
                field: "kind",
                value: value.into(),
            }),
        }
    }
}

/// First page of a segment. Its 64 bytes lie in one sector, so that a segment is either still the
/// old one or the new one, whatever becomes of the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHead {
    /// The store.
    pub store: StoreId,
    /// Number of the segment in the order in which segments were opened.
    pub sequence: u64,
    /// Random number of this use of the segment, repeated in its batches and its footer. After a
    /// crash that lost a segment's head its sequence is given out again.
    pub salt: u64,
    /// What it is for.
    pub kind: SegmentKind,
    /// When it was opened, Unix seconds.
    pub opened_at: u64,
}

impl SegmentHead {
    /// The page that holds it.
    #[must_use]
    pub fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut page = [0; PAGE_BYTES];
        put(&mut page, 0, &MAGIC);
        put(&mut page, 4, &FORMAT_VERSION.to_le_bytes());
        page[6] = self.kind as u8;
        put(&mut page, 8, &self.store);
        put(&mut page, 24, &self.sequence.to_le_bytes());
        put(&mut page, 32, &self.opened_at.to_le_bytes());
        put(&mut page, 40, &self.salt.to_le_bytes());
        let crc = crc32c(&page[..CRC_AT]);
        put(&mut page, CRC_AT, &crc.to_le_bytes());
        page
    }

    /// Reads a segment's first page; `None` when the segment is free, which is a head of zeros.
    ///
    /// # Errors
    /// It is not a head, is damaged, or of another version.
    pub fn decode(page: &[u8]) -> Result<Option<Self>, LayoutError> {
        if page.len() >= HEAD_BYTES && page[..HEAD_BYTES].iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        check(page, MAGIC, WHAT, CRC_AT)?;
        Ok(Some(Self {
            store: bytes_at(page, 8),
            sequence: u64_at(page, 24),
            kind: SegmentKind::decode(page[6], WHAT)?,
            opened_at: u64_at(page, 32),
            salt: u64_at(page, 40),
        }))
    }
}
