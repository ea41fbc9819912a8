//! The codec's multiplications, for processors without all that the fused kernel needs: one pass
//! for each factor over pieces that stay in the first-level caches, and one for the sums.

use holdfast_wire::checksum::Crc32c;
use rustfs_erasure_codec::galois_8::{mul_slice, mul_slice_xor};

use super::{Factors, Piece, Sums};

/// What is worked on at once, bytes of each shard.
const STEP_BYTES: usize = 4 << 10;

/// # Safety
/// As [`super::apply`].
pub(super) unsafe fn apply(factors: &Factors, piece: &Piece<'_>, sums: &mut Sums<'_>) {
    for at in (0..piece.bytes).step_by(STEP_BYTES) {
        let bytes = STEP_BYTES.min(piece.bytes - at);
        for (input, from) in piece.inputs.iter().enumerate() {
            // SAFETY: inside of the input.
            let from = unsafe { std::slice::from_raw_parts(from.add(at), bytes) };
            if let Some(sums) = &mut sums.inputs {
                add(&mut sums[input], from);
            }
            let row = &factors.factors[input * factors.outputs..];
            for (factor, to) in row.iter().zip(piece.outputs) {
                // SAFETY: inside of the output, which is nobody else's.
                let to = unsafe { std::slice::from_raw_parts_mut(to.add(at), bytes) };
                if input == 0 {
                    mul_slice(*factor, from, to);
                } else {
                    mul_slice_xor(*factor, from, to);
                }
            }
        }
        let Some(sums) = &mut sums.outputs else {
            continue;
        };
        for (sum, to) in sums.iter_mut().zip(piece.outputs) {
            // SAFETY: inside of the output.
            add(sum, unsafe {
                std::slice::from_raw_parts(to.add(at), bytes)
            });
        }
    }
}

fn add(sum: &mut u32, bytes: &[u8]) {
    let mut digest = Crc32c::after(*sum);
    digest.update(bytes);
    *sum = digest.value();
}
