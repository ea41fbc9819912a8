use holdfast_wire::{BlockId, SpaceKey};

/// Opaque keys of a call.
#[derive(Clone, Copy)]
pub enum Keys<'a> {
    /// Keys of equal length, one behind the other.
    Packed {
        /// All of them.
        bytes: &'a [u8],
        /// Bytes of one, at least 1.
        key_bytes: usize,
    },
    /// Keys of any length.
    List(&'a [&'a [u8]]),
}

impl Keys<'_> {
    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Packed { bytes, key_bytes } => bytes.len() / key_bytes.max(&1),
            Self::List(keys) => keys.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The block ids, in order.
    #[must_use]
    pub fn ids(&self, space: &SpaceKey) -> Vec<BlockId> {
        match self {
            Self::Packed { bytes, key_bytes } => bytes
                .chunks_exact((*key_bytes).max(1))
                .map(|key| space.block_id(key))
                .collect(),
            Self::List(keys) => keys.iter().map(|key| space.block_id(key)).collect(),
        }
    }
}
