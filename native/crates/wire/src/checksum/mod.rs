//! CRC-32C (Castagnoli), the checksum of blocks and frames.
//!
//! CRC-32C because storage and network hardware speak it, it detects every burst up to 32 bits,
//! and it runs at memory speed with the carry-less multiply that servers have
//! (RFC 3720, appendix B.4).

#[cfg(target_arch = "x86_64")]
mod fused;
mod shift;
mod summed_copy;

use crc_fast::{CrcAlgorithm, Digest};

pub use shift::{ORDER_OF_X, Shift, power_of_x};
pub use summed_copy::SummedCopy;

/// The polynomial of CRC-32C, lowest bit first (RFC 3720, appendix B.4).
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// CRC-32C of `bytes`.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// CRC-32C of bytes that arrive in pieces.
pub struct Crc32c {
    digest: Digest,
}

impl Crc32c {
    /// The checksum of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            digest: Digest::new(CrcAlgorithm::Crc32Iscsi),
        }
    }

    /// Goes on from the checksum of what came before.
    #[must_use]
    pub fn after(value: u32) -> Self {
        // The register of a sum is the complement of its value.
        let register = !value;
        Self {
            digest: Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, register.into()),
        }
    }

    /// Adds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The checksum of all pieces so far.
    #[must_use]
    pub fn value(&self) -> u32 {
        self.digest.finalize() as u32
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.digest.reset();
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn pieces_equal_the_whole() {
        let bytes: Vec<u8> = (0..70_000u32).map(|value| (value * 31) as u8).collect();
        for cut in [0, 1, 63, 4096, 69_999, 70_000] {
            let mut sum = Crc32c::new();
            sum.update(&bytes[..cut]);
            sum.update(&bytes[cut..]);
            assert_eq!(sum.value(), crc32c(&bytes));
        }
    }
}
