use super::fields::{bytes_at, put, u32_at};
use super::{Geometry, LayoutError, pages_of};

/// Size of an entry, bytes.
pub const ENTRY_BYTES: usize = 64;

/// The entry has no payload: the block is deleted.
pub const FLAG_TOMBSTONE: u8 = 1;
/// The block was appended as a durable one.
pub const FLAG_DURABLE: u8 = 2;
/// A copy of a record whose segment was about to be reused.
pub const FLAG_REINSERTED: u8 = 4;

/// The block had the largest position of those it was appended with.
pub const FLAG_DEEPEST: u8 = 8;

const FLAGS_KNOWN: u8 = FLAG_TOMBSTONE | FLAG_DURABLE | FLAG_REINSERTED | FLAG_DEEPEST;
const WHAT: &str = "entry";

/// All that a store keeps of one record beside its payload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entry {
    /// The block's id.
    pub id: [u8; 16],
    /// Its tenant.
    pub tenant: u32,
    /// Its space.
    pub space: u32,
    /// Size of the payload, bytes; 0 in a tombstone.
    pub payload_bytes: u32,
    /// CRC-32C of the payload.
    pub crc: u32,
    /// The put that wrote it.
    pub write_id: u32,
    /// The block's place in its prefix.
    pub position: u32,
    /// Where the payload begins, pages from the beginning of the segment.
    pub page: u32,
    /// When the block was first appended, Unix seconds.
    pub birth_s: u32,
    /// Time to live of its space then, seconds; 0 for none.
    pub ttl_s: u32,
    /// Priority of its space then.
    pub priority: u8,
    /// [`FLAG_TOMBSTONE`], [`FLAG_DURABLE`], [`FLAG_REINSERTED`], [`FLAG_DEEPEST`].
    pub flags: u8,
}

impl Entry {
    /// Whether it says that the block is deleted.
    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.flags & FLAG_TOMBSTONE != 0
    }

    /// Pages of the payload.
    #[must_use]
    pub fn payload_pages(&self) -> u32 {
        pages_of(self.payload_bytes.into())
    }

    /// Writes it to the first [`ENTRY_BYTES`] of `bytes`, which are zeros.
    ///
    /// # Panics
    /// `bytes` is shorter.
    pub fn encode(&self, bytes: &mut [u8]) {
        put(bytes, 0, &self.id);
        put(bytes, 16, &self.tenant.to_le_bytes());
        put(bytes, 20, &self.space.to_le_bytes());
        put(bytes, 24, &self.payload_bytes.to_le_bytes());
        put(bytes, 28, &self.crc.to_le_bytes());
        put(bytes, 32, &self.write_id.to_le_bytes());
        put(bytes, 36, &self.position.to_le_bytes());
        put(bytes, 40, &self.page.to_le_bytes());
        put(bytes, 44, &self.birth_s.to_le_bytes());
        put(bytes, 48, &self.ttl_s.to_le_bytes());
        bytes[52] = self.priority;
        bytes[53] = self.flags;
    }

    /// Reads an entry of a segment of this geometry.
    ///
    /// # Errors
    /// Too few bytes, or a payload that lies outside of the segment.
    pub fn decode(bytes: &[u8], geometry: &Geometry) -> Result<Self, LayoutError> {
        if bytes.len() < ENTRY_BYTES {
            return Err(LayoutError::Short {
                what: WHAT,
                bytes: bytes.len(),
                needed: ENTRY_BYTES,
            });
        }
        let entry = Self {
            id: bytes_at(bytes, 0),
            tenant: u32_at(bytes, 16),
            space: u32_at(bytes, 20),
            payload_bytes: u32_at(bytes, 24),
            crc: u32_at(bytes, 28),
            write_id: u32_at(bytes, 32),
            position: u32_at(bytes, 36),
            page: u32_at(bytes, 40),
            birth_s: u32_at(bytes, 44),
            ttl_s: u32_at(bytes, 48),
            priority: bytes[52],
            flags: bytes[53],
        };
        entry.check(geometry)?;
        Ok(entry)
    }

    fn check(&self, geometry: &Geometry) -> Result<(), LayoutError> {
        let wrong = |field, value: u32| {
            Err(LayoutError::Field {
                what: WHAT,
                field,
                value: value.into(),
            })
        };
        if self.flags & !FLAGS_KNOWN != 0 {
            return wrong("flags", self.flags.into());
        }
        if self.is_tombstone() != (self.payload_bytes == 0) {
            return wrong("payload bytes", self.payload_bytes);
        }
        let end = u64::from(self.page) + u64::from(self.payload_pages());
        if self.page == 0 || end > u64::from(geometry.segment_pages()) {
            return wrong("page", self.page);
        }
        Ok(())
    }
}
