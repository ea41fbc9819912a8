//! Fields of fixed structures, little endian.

use holdfast_wire::checksum::crc32c;

use super::{FORMAT_VERSION, LayoutError};

/// The `N` bytes at `at`.
pub(super) fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// The 16-bit number at `at`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes_at(bytes, at))
}

/// The 32-bit number at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes_at(bytes, at))
}

/// The 64-bit number at `at`.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes_at(bytes, at))
}

/// Writes a field.
pub(super) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

/// Checks magic, then the checksum of all bytes before `crc_at`, then the version: a structure of
/// a later version keeps these three where they are.
pub(super) fn check(
    bytes: &[u8],
    magic: [u8; 4],
    what: &'static str,
    crc_at: usize,
) -> Result<(), LayoutError> {
    if bytes.len() < crc_at + 4 {
        return Err(LayoutError::Short {
            what,
            bytes: bytes.len(),
            needed: crc_at + 4,
        });
    }
    if bytes[..4] != magic {
        return Err(LayoutError::Magic { what });
    }
    if u32_at(bytes, crc_at) != crc32c(&bytes[..crc_at]) {
        return Err(LayoutError::Checksum { what });
    }
    version(bytes, what)
}

/// Checks the version, which lies behind every magic.
pub(super) fn version(bytes: &[u8], what: &'static str) -> Result<(), LayoutError> {
    let found = u16_at(bytes, 4);
    if found != FORMAT_VERSION {
        return Err(LayoutError::Version {
            what,
            found,
            known: FORMAT_VERSION,
        });
    }
    Ok(())
}
