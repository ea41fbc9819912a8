use holdfast_wire::checksum::{Shift, crc32c};

use crate::{SHARD_TAIL_BYTES, Scheme, ShardTail};

/// Checksums of a stripe, made while it was encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripeSums {
    /// CRC-32C of the block, padding not included.
    pub block: u32,
    /// CRC-32C of each shard, data shards first, padding included, tail not.
    pub shards: Vec<u32>,
}

impl Scheme {
    /// CRC-32C of a block of `block_bytes` bytes, from those of its data shards, padding included.
    /// The end-to-end check of a block that was read, without another pass over it.
    ///
    /// # Panics
    /// If there is not a sum for each data shard.
    #[must_use]
    pub fn block_sum(self, block_bytes: usize, data_sums: &[u32]) -> u32 {
        assert_eq!(data_sums.len(), self.data(), "a sum for each data shard");
        let whole = Shift::over(self.shard_bytes(block_bytes) as u64);
        let mut sum = 0;
        for (index, shard_sum) in data_sums.iter().enumerate() {
            let used = self.used_bytes(block_bytes, index);
            if used == self.shard_bytes(block_bytes) {
                sum = whole.join(sum, *shard_sum);
            } else if used > 0 {
                let shift = Shift::over(used as u64);
                sum = shift.join(sum, self.used_sum(block_bytes, index, *shard_sum));
            }
        }
        sum
    }

    /// CRC-32C of the block's bytes in data shard `index`, from that of the shard.
    #[must_use]
    pub fn used_sum(self, block_bytes: usize, index: usize, shard_sum: u32) -> u32 {
        let padding = self.shard_bytes(block_bytes) - self.used_bytes(block_bytes, index);
        Shift::over(padding as u64).split(shard_sum, sum_of_zeros(padding))
    }

    /// CRC-32C of data shard `index`, from that of the block's bytes in it: what padding adds.
    #[must_use]
    pub fn shard_sum(self, block_bytes: usize, index: usize, used_sum: u32) -> u32 {
        let padding = self.shard_bytes(block_bytes) - self.used_bytes(block_bytes, index);
        Shift::over(padding as u64).join(used_sum, sum_of_zeros(padding))
    }
}

impl ShardTail {
    /// CRC-32C of the chunk, as a data node knows it, from that of the shard: what the tail adds.
    #[must_use]
    pub fn chunk_sum(&self, shard_sum: u32) -> u32 {
        TAIL.join(shard_sum, crc32c(&self.encode()))
    }

    /// CRC-32C of the shard, from that of its chunk.
    #[must_use]
    pub fn shard_sum(&self, chunk_sum: u32) -> u32 {
        TAIL.split(chunk_sum, crc32c(&self.encode()))
    }
}

/// What a tail behind a shard does to its sum.
const TAIL: Shift = Shift::over(SHARD_TAIL_BYTES as u64);

/// CRC-32C of so many zeros: the register alone moves on.
fn sum_of_zeros(bytes: usize) -> u32 {
    !Shift::over(bytes as u64).join(!0, 0)
}
