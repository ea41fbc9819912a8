use crate::limits::KEYS_PER_REQUEST_MAX;
use crate::reader::Reader;
use crate::{BlockId, KeyStatus, Verdict, WireError};

/// One block that the caller would like to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutEntry {
    /// Its id.
    pub id: BlockId,
    /// Its place in its prefix, 0 for the first block.
    pub position: u32,
}

/// Body of `Put`: space, write id, count, then 20 bytes a block. No payload: the node answers
/// with a [`PutGrant`] first.
pub struct PutRequest {
    /// The space, bound before on this connection.
    pub space: u32,
    /// Random number of this put call; the same for every copy of its blocks.
    pub write_id: u32,
    /// The blocks.
    pub entries: Vec<PutEntry>,
}

impl PutRequest {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.space.to_le_bytes());
        out.extend_from_slice(&self.write_id.to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for entry in &self.entries {
            out.extend_from_slice(&entry.id);
            out.extend_from_slice(&entry.position.to_le_bytes());
        }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`WireError`] when the count is over its limit or does not match the length.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("put request", body);
        let (space, write_id) = (reader.u32()?, reader.u32()?);
        let count = reader.count("number of keys", KEYS_PER_REQUEST_MAX)?;
        reader.take(4)?;
        let mut entries = Vec::with_capacity(count);
        for record in reader.records::<20>(count)? {
            let mut entry = Reader::new("put entry", record);
            entries.push(PutEntry {
                id: entry.array()?,
                position: entry.u32()?,
            });
        }
        reader.end()?;
        Ok(Self {
            space,
            write_id,
            entries,
        })
    }
}

/// Body of `PutGrant`: one verdict a key. The caller then sends one `PutData` frame whose payload
/// is the wanted blocks in order, followed by one CRC-32C (u32) for each of them. A `PutData`
/// without payload gives the grant back: its keys end as `Cancelled`. `PutDone` ends every put;
/// when no key is wanted it follows the grant at once and the caller sends no `PutData`. A node
/// that refuses the whole put answers a `PutGrant` with another status than `Ok`, and no more.
pub struct PutGrant;

impl PutGrant {
    /// Appends one verdict.
    pub fn push(out: &mut Vec<u8>, verdict: Verdict) {
        out.push(verdict as u8);
    }

    /// Reads all verdicts.
    ///
    /// # Errors
    /// [`WireError`] when the body does not hold exactly `keys` verdicts.
    pub fn decode(body: &[u8], keys: usize) -> Result<Vec<Verdict>, WireError> {
        let mut reader = Reader::new("put grant", body);
        let verdicts = reader
            .take(keys)?
            .iter()
            .map(|byte| Verdict::try_from(*byte))
            .collect();
        reader.end()?;
        verdicts
    }
}

/// Body of `PutDone`, `DeleteAnswer`, `PinAnswer` and `ReportAnswer`: one status a key.
pub struct PutDone;

impl PutDone {
    /// Appends one status.
    pub fn push(out: &mut Vec<u8>, status: KeyStatus) {
        out.push(status as u8);
    }

    /// Reads all statuses.
    ///
    /// # Errors
    /// [`WireError`] when the body does not hold exactly `keys` statuses.
    pub fn decode(body: &[u8], keys: usize) -> Result<Vec<KeyStatus>, WireError> {
        let mut reader = Reader::new("per-key statuses", body);
        let statuses = reader
            .take(keys)?
            .iter()
            .map(|byte| KeyStatus::try_from(*byte))
            .collect();
        reader.end()?;
        statuses
    }
}
