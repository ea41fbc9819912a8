//! A node in this process and a minimal caller that speaks frames to it, for tests.
#![allow(dead_code, reason = "every test file uses its own part of it")]

pub mod frames;
pub mod ops;
pub mod rig;

use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds, looking again and again.
///
/// # Panics
/// When it does not hold in time.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "in vain waited for: {what}");
        std::thread::yield_now();
    }
}

/// Reproducible bytes (splitmix64), different for every seed.
pub fn bytes_of(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A block id made from a number.
pub fn id_of(number: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes_of(number ^ 0xB10C, 16));
    id
}
