use holdfast_wire::checksum::crc32c;
use holdfast_wire::limits::BLOCK_BYTES_MAX;

use crate::{Scheme, TailError};

/// Bytes of the tail behind each stored shard.
pub const SHARD_TAIL_BYTES: usize = 32;
const CHECKED_BYTES: usize = SHARD_TAIL_BYTES - 4;
const MAGIC: [u8; 4] = *b"HFS1";
const VERSION: u8 = 1;

/// Which write of a block a shard belongs to. Shards of unlike versions are never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StripeVersion {
    /// How the block is cut.
    pub scheme: Scheme,
    /// Bytes of the block.
    pub block_bytes: u32,
    /// CRC-32C of the block, padding not included.
    pub block_sum: u32,
}

/// What stands behind the bytes of a stored shard, so that it says by itself what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShardTail {
    /// The block that it is a part of.
    pub version: StripeVersion,
    /// Which shard: data shards from 0, then parity shards.
    pub index: u8,
}

impl StripeVersion {
    /// Bytes of each shard.
    #[must_use]
    pub fn shard_bytes(&self) -> usize {
        self.scheme.shard_bytes(self.block_bytes as usize)
    }

    /// Bytes of each shard as a data node stores it, tail included.
    #[must_use]
    pub fn chunk_bytes(&self) -> usize {
        self.shard_bytes() + SHARD_TAIL_BYTES
    }

    /// The tail of shard `index`.
    ///
    /// # Panics
    /// If the scheme has no such shard.
    #[must_use]
    pub fn tail(&self, index: usize) -> ShardTail {
        assert!(
            index < self.scheme.shards(),
            "no shard {index} in {}",
            self.scheme
        );
        ShardTail {
            version: *self,
            index: index as u8,
        }
    }
}

impl ShardTail {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; SHARD_TAIL_BYTES] {
        let scheme = self.version.scheme;
        let mut bytes = [0; SHARD_TAIL_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = scheme.data() as u8;
        bytes[6] = scheme.parity() as u8;
        bytes[7] = self.index;
        bytes[8..12].copy_from_slice(&self.version.block_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.version.block_sum.to_le_bytes());
        let check = crc32c(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads a tail.
    ///
    /// # Errors
    /// [`TailError`] naming what does not hold.
    pub fn decode(bytes: &[u8]) -> Result<Self, TailError> {
        let bytes: &[u8; SHARD_TAIL_BYTES] = bytes
            .try_into()
            .map_err(|_| TailError::Length { found: bytes.len() })?;
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let magic = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if magic != MAGIC {
            return Err(TailError::BadMagic { found: magic });
        }
        let (found, computed) = (word(CHECKED_BYTES), crc32c(&bytes[..CHECKED_BYTES]));
        if found != computed {
            return Err(TailError::Damaged { found, computed });
        }
        let [version, data, parity, index] = [bytes[4], bytes[5], bytes[6], bytes[7]];
        if version != VERSION {
            return Err(TailError::Version { found: version });
        }
        let scheme = Scheme::new(data, parity)?;
        if usize::from(index) >= scheme.shards() {
            return Err(TailError::Index {
                found: index,
                scheme,
            });
        }
        let block_bytes = word(8);
        if block_bytes == 0 || block_bytes > BLOCK_BYTES_MAX {
            return Err(TailError::BlockBytes {
                found: block_bytes,
                limit: BLOCK_BYTES_MAX,
            });
        }
        Ok(Self {
            version: StripeVersion {
                scheme,
                block_bytes,
                block_sum: word(12),
            },
            index,
        })
    }
}
