use std::fmt;

use crate::SchemeError;

/// Data shards of a stripe at most.
pub const DATA_SHARDS_MAX: u8 = 32;
/// Parity shards of a stripe at most.
pub const PARITY_SHARDS_MAX: u8 = 8;
/// Shards are whole multiples of this, bytes: a cache line, and the widest register.
pub const SHARD_ALIGNMENT: usize = 64;

/// How a block is cut: k data shards, and m parity shards beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scheme {
    data: u8,
    parity: u8,
}

impl Scheme {
    /// The scheme `data`+`parity`.
    ///
    /// # Errors
    /// [`SchemeError`] when a number is out of its range.
    pub const fn new(data: u8, parity: u8) -> Result<Self, SchemeError> {
        if data == 0 || data > DATA_SHARDS_MAX {
            return Err(SchemeError::Data { found: data });
        }
        if parity == 0 || parity > PARITY_SHARDS_MAX {
            return Err(SchemeError::Parity { found: parity });
        }
        Ok(Self { data, parity })
    }

    /// k: shards that hold the block's own bytes, and shards that give the block back.
    #[must_use]
    pub const fn data(self) -> usize {
        self.data as usize
    }

    /// m: shards that may be lost.
    #[must_use]
    pub const fn parity(self) -> usize {
        self.parity as usize
    }

    /// All shards of a stripe. Data shards come first, in order.
    #[must_use]
    pub const fn shards(self) -> usize {
        self.data() + self.parity()
    }

    /// Bytes of each shard of a block of `block_bytes` bytes, padding included.
    #[must_use]
    pub const fn shard_bytes(self, block_bytes: usize) -> usize {
        block_bytes
            .div_ceil(self.data())
            .next_multiple_of(SHARD_ALIGNMENT)
    }

    /// Bytes of the block in data shard `index`; zeros fill the rest of the shard.
    #[must_use]
    pub const fn used_bytes(self, block_bytes: usize, index: usize) -> usize {
        assert!(index < self.data(), "not a data shard");
        let shard_bytes = self.shard_bytes(block_bytes);
        let rest = block_bytes.saturating_sub(index * shard_bytes);
        if rest < shard_bytes {
            rest
        } else {
            shard_bytes
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}+{}", self.data, self.parity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (data, parity) in [(0, 1), (33, 1), (255, 8)] {
            assert_eq!(
                Scheme::new(data, parity),
                Err(SchemeError::Data { found: data })
            );
        }
        for parity in [0, 9, 255] {
            assert_eq!(
                Scheme::new(32, parity),
                Err(SchemeError::Parity { found: parity })
            );
        }
        assert_eq!(Scheme::new(32, 8).expect("the largest").shards(), 40);
        assert_eq!(Scheme::new(4, 2).expect("a scheme").to_string(), "4+2");
    }

    #[test]
    fn shards_are_aligned_and_hold_the_block() {
        let scheme = Scheme::new(4, 2).expect("a scheme");
        assert_eq!(scheme.shard_bytes(1), 64);
        assert_eq!(scheme.shard_bytes(256), 64);
        assert_eq!(scheme.shard_bytes(257), 128);
        assert_eq!(scheme.shard_bytes(1 << 20), 1 << 18);
        // 260 bytes in shards of 128: two whole ones, one of 4 bytes, one of padding alone.
        let used: Vec<usize> = (0..4).map(|index| scheme.used_bytes(260, index)).collect();
        assert_eq!(used, [128, 128, 4, 0]);
    }
}
