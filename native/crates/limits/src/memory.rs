use std::time::{Duration, Instant};

/// Copies blocks of `block_bytes` from `source` to `destination`: block `order[i]` of the source
/// to place `i`, places taken over and over. Returns how long it took.
///
/// # Panics
/// If a block lies outside `source` or the destination holds none.
#[must_use]
pub fn copy_blocks(
    source: &[u8],
    destination: &mut [u8],
    block_bytes: usize,
    order: &[u64],
) -> Duration {
    let places = destination.len() / block_bytes;
    assert!(places > 0, "the destination holds no block");
    let start = Instant::now();
    for (index, block) in order.iter().enumerate() {
        let from = *block as usize * block_bytes;
        let to = index % places * block_bytes;
        destination[to..to + block_bytes].copy_from_slice(&source[from..from + block_bytes]);
    }
    start.elapsed()
}
