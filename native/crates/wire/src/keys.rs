use crate::limits::KEYS_PER_REQUEST_MAX;
use crate::reader::Reader;
use crate::{BlockId, KeyStatus, WireError};

/// Argument of an `Exists` that renews recency as a get does: its caller has read the blocks, or
/// other chunks of them, elsewhere.
pub const EXISTS_TOUCHES: u32 = 1;

/// Body of `Exists`, `Get`, `Delete`, `Pin`, `Stat` and `Report`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysRequest<'a> {
    /// The space, bound before on this connection.
    pub space: u32,
    /// `Pin`: how long, milliseconds, 0 to unpin. `Report`: the write id. `Exists`:
    /// [`EXISTS_TOUCHES`] or 0. Otherwise 0.
    pub argument: u32,
    /// The blocks asked for.
    pub ids: &'a [BlockId],
}

impl<'a> KeysRequest<'a> {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.space.to_le_bytes());
        out.extend_from_slice(&self.argument.to_le_bytes());
        out.extend_from_slice(&(self.ids.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(self.ids.as_flattened());
    }

    /// Reads the body in place.
    ///
    /// # Errors
    /// [`WireError`] when the count is over its limit or does not match the length.
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("keys request", body);
        let (space, argument) = (reader.u32()?, reader.u32()?);
        let count = reader.count("number of keys", KEYS_PER_REQUEST_MAX)?;
        reader.take(4)?;
        let ids = reader.records::<16>(count)?;
        reader.end()?;
        Ok(Self {
            space,
            argument,
            ids,
        })
    }
}

/// Sets bit `index` of a bitmap, least significant bit first.
pub fn bitmap_set(bitmap: &mut [u8], index: usize) {
    bitmap[index / 8] |= 1 << (index % 8);
}

/// Bit `index` of a bitmap; false beyond its end.
#[must_use]
pub fn bitmap_get(bitmap: &[u8], index: usize) -> bool {
    bitmap
        .get(index / 8)
        .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Result of one key of a get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockAnswer {
    /// `Hit` when the block's payload follows.
    pub status: KeyStatus,
    /// The caller's checksum that came with the put.
    pub crc: u32,
    /// The write that stored the block.
    pub write_id: u32,
}

/// Body of the answer to `Get` over a stream: one 12-byte entry a key.
pub struct GetAnswer;

impl GetAnswer {
    /// Bytes of one entry.
    pub const ENTRY_BYTES: usize = 12;

    /// Appends one entry.
    pub fn push(out: &mut Vec<u8>, answer: &BlockAnswer) {
        out.extend_from_slice(&[answer.status as u8, 0, 0, 0]);
        out.extend_from_slice(&answer.crc.to_le_bytes());
        out.extend_from_slice(&answer.write_id.to_le_bytes());
    }

    /// Reads all entries; `keys` is how many were asked for.
    ///
    /// # Errors
    /// [`WireError`] when the body does not hold exactly `keys` entries.
    pub fn decode(body: &[u8], keys: usize) -> Result<Vec<BlockAnswer>, WireError> {
        let mut reader = Reader::new("get answer", body);
        let mut answers = Vec::with_capacity(keys);
        for record in reader.records::<12>(keys)? {
            let mut entry = Reader::new("get answer", record);
            let status = KeyStatus::try_from(entry.u8()?)?;
            entry.take(3)?;
            answers.push(BlockAnswer {
                status,
                crc: entry.u32()?,
                write_id: entry.u32()?,
            });
        }
        reader.end()?;
        Ok(answers)
    }
}

/// Facts about one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatEntry {
    /// `Hit` or `Miss`.
    pub status: KeyStatus,
    /// How deep in its prefix, in the engine's classes.
    pub position_class: u8,
    /// How often it was used, saturating.
    pub touches: u8,
    /// Whether a pin holds it.
    pub pinned: bool,
    /// Its checksum.
    pub crc: u32,
    /// The write that stored it.
    pub write_id: u32,
    /// Time since it was written, milliseconds.
    pub age_ms: u64,
}

/// Body of the answer to `Stat`: one 20-byte entry a key.
pub struct StatAnswer;

impl StatAnswer {
    /// Appends one entry.
    pub fn push(out: &mut Vec<u8>, entry: &StatEntry) {
        let head = [
            entry.status as u8,
            entry.position_class,
            entry.touches,
            u8::from(entry.pinned),
        ];
        out.extend_from_slice(&head);
        out.extend_from_slice(&entry.crc.to_le_bytes());
        out.extend_from_slice(&entry.write_id.to_le_bytes());
        out.extend_from_slice(&entry.age_ms.to_le_bytes());
    }

    /// Reads all entries.
    ///
    /// # Errors
    /// [`WireError`] when the body does not hold exactly `keys` entries.
    pub fn decode(body: &[u8], keys: usize) -> Result<Vec<StatEntry>, WireError> {
        let mut reader = Reader::new("stat answer", body);
        let mut entries = Vec::with_capacity(keys);
        for record in reader.records::<20>(keys)? {
            let mut entry = Reader::new("stat answer", record);
            entries.push(StatEntry {
                status: KeyStatus::try_from(entry.u8()?)?,
                position_class: entry.u8()?,
                touches: entry.u8()?,
                pinned: entry.u8()? != 0,
                crc: entry.u32()?,
                write_id: entry.u32()?,
                age_ms: entry.u64()?,
            });
        }
        reader.end()?;
        Ok(entries)
    }
}
