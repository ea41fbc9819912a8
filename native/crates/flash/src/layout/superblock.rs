use holdfast_wire::checksum::crc32c;

use super::fields::{bytes_at, check, put, u32_at, u64_at};
use super::{FORMAT_VERSION, Geometry, LayoutError, PAGE_BYTES, StoreId};

const MAGIC: [u8; 4] = *b"HFSB";
const CRC_AT: usize = 72;
const WHAT: &str = "superblock";

/// Whose store a disk holds, and how it is divided. Page 0; page 1 is a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// The cluster.
    pub cluster: [u8; 16],
    /// The node.
    pub node: u64,
    /// The store, a random number.
    pub store: StoreId,
    /// When it was created, Unix seconds.
    pub created_at: u64,
    /// How the disk is divided.
    pub geometry: Geometry,
}

impl Superblock {
    /// The page that holds it.
    #[must_use]
    pub fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut page = [0; PAGE_BYTES];
        put(&mut page, 0, &MAGIC);
        put(&mut page, 4, &FORMAT_VERSION.to_le_bytes());
        put(&mut page, 8, &self.cluster);
        put(&mut page, 24, &self.node.to_le_bytes());
        put(&mut page, 32, &self.store);
        put(&mut page, 48, &self.created_at.to_le_bytes());
        put(&mut page, 56, &(PAGE_BYTES as u32).to_le_bytes());
        put(&mut page, 60, &self.geometry.segments().to_le_bytes());
        put(&mut page, 64, &self.geometry.segment_bytes().to_le_bytes());
        let crc = crc32c(&page[..CRC_AT]);
        put(&mut page, CRC_AT, &crc.to_le_bytes());
        page
    }

    /// Reads a page.
    ///
    /// # Errors
    /// It is not a superblock, is damaged, of another version, or divides the disk in a way that
    /// cannot be.
    pub fn decode(page: &[u8]) -> Result<Self, LayoutError> {
        check(page, MAGIC, WHAT, CRC_AT)?;
        let page_bytes = u32_at(page, 56);
        if page_bytes as usize != PAGE_BYTES {
            return Err(LayoutError::Field {
                what: WHAT,
                field: "page bytes",
                value: page_bytes.into(),
            });
        }
        let (segment_bytes, segments) = (u64_at(page, 64), u32_at(page, 60));
        let geometry = Geometry::new(segment_bytes, segments).ok_or(LayoutError::Field {
            what: WHAT,
            field: "segment bytes",
            value: segment_bytes,
        })?;
        Ok(Self {
            cluster: bytes_at(page, 8),
            node: u64_at(page, 24),
            store: bytes_at(page, 32),
            created_at: u64_at(page, 48),
            geometry,
        })
    }
}
