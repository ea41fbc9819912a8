use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// Seeded hash of block ids.
///
/// Ids are hashes already, but a client may send any bytes it likes: without a secret seed it
/// could fill one bucket of the index on purpose.
#[derive(Debug, Clone, Copy)]
pub struct IdHash {
    seeds: [u64; 3],
}

impl IdHash {
    /// A hash with seeds from the operating system.
    pub fn random() -> Self {
        let state = RandomState::new();
        let seeds = [1u64, 2, 3].map(|number| {
            let mut hasher = state.build_hasher();
            hasher.write_u64(number);
            hasher.finish() | 1
        });
        Self { seeds }
    }

    /// 64 well mixed bits.
    #[inline]
    pub fn of(&self, id: &[u8; 16]) -> u64 {
        let value = u128::from_le_bytes(*id);
        let mixed = fold(
            value as u64 ^ self.seeds[0],
            (value >> 64) as u64 ^ self.seeds[1],
        );
        fold(mixed ^ self.seeds[2], 0x9E37_79B9_7F4A_7C15)
    }
}

#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

/// Hasher for small integer keys (slots, spaces) of the maps beside the index.
#[derive(Debug, Default, Clone, Copy)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = fold(
            self.0 ^ value ^ 0xA076_1D64_78BD_642F,
            0xE703_7ED1_A0B4_28DB,
        );
    }
}

/// Map from small integer keys that no client chooses.
pub type NumberMap<K, V> =
    std::collections::HashMap<K, V, std::hash::BuildHasherDefault<NumberHasher>>;
