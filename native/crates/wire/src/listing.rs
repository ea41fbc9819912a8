use crate::limits::{BODY_BYTES_MAX, KEYS_PER_REQUEST_MAX};
use crate::reader::Reader;
use crate::{BlockId, WireError};

/// Body of `List`: one page of the blocks of some placement groups. Needs a node ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// 0 to begin, then what the page before answered.
    pub cursor: u64,
    /// Most blocks to answer with.
    pub limit: u32,
    /// Number of groups of the map that the bitmap is about.
    pub group_count: u32,
    /// Bit g is set when blocks of group g are wanted; `ceil(group_count / 8)` bytes.
    pub groups: Vec<u8>,
}

impl ListRequest {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cursor.to_le_bytes());
        out.extend_from_slice(&self.limit.to_le_bytes());
        out.extend_from_slice(&self.group_count.to_le_bytes());
        out.extend_from_slice(&self.groups);
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`WireError`] when the bitmap's length does not match or a limit is passed.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("list request", body);
        let cursor = reader.u64()?;
        let limit = reader.count("blocks in a page", KEYS_PER_REQUEST_MAX)? as u32;
        let group_count = reader.count("number of groups", BODY_BYTES_MAX)? as u32;
        let groups = reader.take(group_count.div_ceil(8) as usize)?.to_vec();
        reader.end()?;
        Ok(Self {
            cursor,
            limit,
            group_count,
            groups,
        })
    }
}

/// One stored block as a node tells it to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedBlock {
    /// Its id.
    pub id: BlockId,
    /// Its tenant's number.
    pub tenant: u32,
    /// Its space's number.
    pub space: u32,
    /// Its size, bytes.
    pub block_bytes: u32,
    /// Its checksum.
    pub crc: u32,
    /// The write that stored it.
    pub write_id: u32,
    /// Its place in its prefix, as far as the engine kept it.
    pub position: u32,
    /// Time to live left, milliseconds; 0 when it has none.
    pub ttl_left_ms: u64,
}

/// Body of the answer to `List`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListAnswer {
    /// Cursor of the next page; 0 when this was the last.
    pub next: u64,
    /// The page.
    pub blocks: Vec<ListedBlock>,
}

impl ListAnswer {
    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.next.to_le_bytes());
        out.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for block in &self.blocks {
            out.extend_from_slice(&block.id);
            out.extend_from_slice(&block.tenant.to_le_bytes());
            out.extend_from_slice(&block.space.to_le_bytes());
            out.extend_from_slice(&block.block_bytes.to_le_bytes());
            out.extend_from_slice(&block.crc.to_le_bytes());
            out.extend_from_slice(&block.write_id.to_le_bytes());
            out.extend_from_slice(&block.position.to_le_bytes());
            out.extend_from_slice(&block.ttl_left_ms.to_le_bytes());
        }
    }

    /// Reads the body.
    ///
    /// # Errors
    /// [`WireError`] when the count is over its limit or does not match the length.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new("list answer", body);
        let next = reader.u64()?;
        let count = reader.count("blocks in a page", KEYS_PER_REQUEST_MAX)?;
        reader.take(4)?;
        let mut blocks = Vec::with_capacity(count);
        for record in reader.records::<48>(count)? {
            let mut block = Reader::new("listed block", record);
            blocks.push(ListedBlock {
                id: block.array()?,
                tenant: block.u32()?,
                space: block.u32()?,
                block_bytes: block.u32()?,
                crc: block.u32()?,
                write_id: block.u32()?,
                position: block.u32()?,
                ttl_left_ms: block.u64()?,
            });
        }
        reader.end()?;
        Ok(Self { next, blocks })
    }
}
