use crate::limits::{KEYS_PER_REQUEST_MAX, PIECES_PER_REQUEST_MAX};
use crate::reader::Reader;
use crate::{BlockId, KeyStatus, WireError};

/// Where one block lies in memory that the node shares read-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocatedBlock {
    /// `Hit` when the rest is meaningful.
    pub status: KeyStatus,
    /// The caller's checksum that came with the put. The block may be evicted while it is being
    /// copied, so a copy that does not match is a miss.
    pub crc: u32,
    /// The write that stored the block.
    pub write_id: u32,
    /// A view announced before on this connection.
    pub view: u32,
    /// First byte of the block in the view.
    pub offset: u64,
}

/// Body of `Located`: one 24-byte entry a key.
pub struct LocatedAnswer;

impl LocatedAnswer {
    /// Appends one entry.
    pub fn push(out: &mut Vec<u8>, block: &LocatedBlock) {
        out.extend_from_slice(&[block.status as u8, 0, 0, 0]);
        out.extend_from_slice(&block.crc.to_le_bytes());
        out.extend_from_slice(&block.write_id.to_le_bytes());
        out.extend_from_slice(&block.view.to_le_bytes());
        out.extend_from_slice(&block.offset.to_le_bytes());
    }

    /// Reads all entries.
    ///
    /// # Errors
    /// [`WireError`] when the body does not hold exactly `keys` entries.
    pub fn decode(body: &[u8], keys: usize) -> Result<Vec<LocatedBlock>, WireError> {
        let mut reader = Reader::new("located answer", body);
        let mut blocks = Vec::with_capacity(keys);
        for record in reader.records::<24>(keys)? {
            let mut entry = Reader::new("located answer", record);
            let status = KeyStatus::try_from(entry.u8()?)?;
            entry.take(3)?;
            blocks.push(LocatedBlock {
                status,
                crc: entry.u32()?,
                write_id: entry.u32()?,
                view: entry.u32()?,
                offset: entry.u64()?,
            });
        }
        reader.end()?;
        Ok(blocks)
    }
}

/// Body of `View`: a read-only memory of the node, whose descriptor travels with the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewAnnounce {
    /// Number that `Located` answers use; never reused on a node.
    pub view: u32,
    /// Its size, bytes; 0 means that the view is no longer used and may be unmapped.
    pub bytes: u64,
}

impl ViewAnnounce {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.view.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.bytes.to_le_bytes());
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`WireError`] for another length.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("view", body);
        let view = reader.u32()?;
        reader.take(4)?;
        let bytes = reader.u64()?;
        reader.end()?;
        Ok(Self { view, bytes })
    }
}

/// Body of `Offer` and `Withdraw`: memory of the caller that the node may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionOffer {
    /// The caller's number for it on this connection.
    pub region: u32,
    /// Its size, bytes; the descriptor must be at least that long. 0 in a `Withdraw`.
    pub bytes: u64,
}

impl RegionOffer {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        ViewAnnounce {
            view: self.region,
            bytes: self.bytes,
        }
        .encode(out);
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`WireError`] for another length.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let ViewAnnounce {
            view: region,
            bytes,
        } = ViewAnnounce::decode(body)?;
        Ok(Self { region, bytes })
    }
}

/// A contiguous run of an offered region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The region's number.
    pub region: u32,
    /// Bytes.
    pub bytes: u32,
    /// First byte in the region.
    pub offset: u64,
}

/// One block of a `PutOffered`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfferedEntry {
    /// Its id.
    pub id: BlockId,
    /// Its place in its prefix.
    pub position: u32,
    /// The caller's checksum of its bytes; the node compares it with its own copy's.
    pub crc: u32,
    /// How many pieces it consists of, in order.
    pub pieces: u32,
}

/// Body of `PutOffered`.
pub struct OfferedPut {
    /// The space, bound before on this connection.
    pub space: u32,
    /// Random number of this put call.
    pub write_id: u32,
    /// The blocks.
    pub entries: Vec<OfferedEntry>,
    /// The pieces of all blocks, in order.
    pub pieces: Vec<Piece>,
}

impl OfferedPut {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.space.to_le_bytes());
        out.extend_from_slice(&self.write_id.to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        out.extend_from_slice(&(self.pieces.len() as u32).to_le_bytes());
        for entry in &self.entries {
            out.extend_from_slice(&entry.id);
            out.extend_from_slice(&entry.position.to_le_bytes());
            out.extend_from_slice(&entry.crc.to_le_bytes());
            out.extend_from_slice(&entry.pieces.to_le_bytes());
        }
        for piece in &self.pieces {
            out.extend_from_slice(&piece.region.to_le_bytes());
            out.extend_from_slice(&piece.bytes.to_le_bytes());
            out.extend_from_slice(&piece.offset.to_le_bytes());
        }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`WireError`] when a count is over its limit or the pieces do not add up.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("offered put", body);
        let (space, write_id) = (reader.u32()?, reader.u32()?);
        let count = reader.count("number of keys", KEYS_PER_REQUEST_MAX)?;
        let piece_count = reader.count("number of pieces", PIECES_PER_REQUEST_MAX)?;
        let mut entries = Vec::with_capacity(count);
        for record in reader.records::<28>(count)? {
            let mut entry = Reader::new("offered put entry", record);
            entries.push(OfferedEntry {
                id: entry.array()?,
                position: entry.u32()?,
                crc: entry.u32()?,
                pieces: entry.u32()?,
            });
        }
        let mut pieces = Vec::with_capacity(piece_count);
        for record in reader.records::<16>(piece_count)? {
            let mut piece = Reader::new("piece", record);
            pieces.push(Piece {
                region: piece.u32()?,
                bytes: piece.u32()?,
                offset: piece.u64()?,
            });
        }
        reader.end()?;
        let named: u64 = entries.iter().map(|entry| u64::from(entry.pieces)).sum();
        if named != piece_count as u64 {
            return Err(WireError::OverLimit {
                what: "pieces named by the blocks",
                value: named,
                limit: piece_count as u64,
            });
        }
        Ok(Self {
            space,
            write_id,
            entries,
            pieces,
        })
    }
}
