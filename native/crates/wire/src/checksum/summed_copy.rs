//! Copies whose checksum is made on the way.

use super::Crc32c;
#[cfg(target_arch = "x86_64")]
use super::fused;

/// Copies that are part of so many bytes go past the caches, which they would only empty: more
/// than a core has for itself.
const STREAMED_BYTES_MIN: usize = 4 << 20;
/// Where the processor cannot do both at once: copied and then summed while it is in the
/// first-level caches, bytes.
const PIECE_BYTES: usize = 64 << 10;

/// CRC-32C of bytes while they are copied, in one pass where the processor can (AVX-512 with
/// carry-less multiplication): a second one over the copy costs a fifth of the time.
///
/// The checksum is that of the bytes that were stored, whatever happens to the source meanwhile.
pub struct SummedCopy {
    /// The complement of the checksum so far.
    register: u32,
    fused: bool,
    streamed: bool,
}

impl SummedCopy {
    /// Nothing is copied yet. `batch_bytes`: what will be copied together, by this and others.
    #[must_use]
    pub fn new(batch_bytes: usize) -> Self {
        Self {
            register: !0,
            fused: fused::is_possible(),
            streamed: batch_bytes >= STREAMED_BYTES_MIN,
        }
    }

    /// Copies the next `bytes` bytes.
    ///
    /// # Safety
    /// Both places have that many bytes, and they do not overlap. Nobody else writes to the
    /// destination before [`Self::value`]; others may write to the source.
    pub unsafe fn copy(&mut self, from: *const u8, to: *mut u8, bytes: usize) {
        if self.fused {
            // SAFETY: as the caller promises; the processor was asked in `new`.
            self.register = unsafe { fused::copy(from, to, bytes, self.register, self.streamed) };
            return;
        }
        let mut at = 0;
        while at < bytes {
            let piece = PIECE_BYTES.min(bytes - at);
            // SAFETY: as the caller promises.
            unsafe {
                std::ptr::copy_nonoverlapping(from.add(at), to.add(at), piece);
                self.update(std::slice::from_raw_parts(to.add(at), piece));
            }
            at += piece;
        }
    }

    /// Adds bytes that came to the destination in another way.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut digest = Crc32c::after(!self.register);
        digest.update(bytes);
        self.register = !digest.value();
    }

    /// The checksum of all bytes so far, which every thread can see in their place from now on.
    #[must_use]
    pub fn value(&self) -> u32 {
        if self.fused && self.streamed {
            fused::settle();
        }
        !self.register
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.register = !0;
    }
}

/// Elsewhere nothing copies and sums at once.
#[cfg(not(target_arch = "x86_64"))]
mod fused {
    pub(super) fn is_possible() -> bool {
        false
    }

    pub(super) unsafe fn copy(_: *const u8, _: *mut u8, _: usize, _: u32, _: bool) -> u32 {
        unreachable!("not without `is_possible`")
    }

    pub(super) fn settle() {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checksum::crc32c;

    const GUARD: u8 = 0xA5;
    const GUARD_BYTES: usize = 80;

    fn bytes(count: usize) -> Vec<u8> {
        (0..count as u32)
            .map(|at| (at.wrapping_mul(0x9E37_79B9) >> 21) as u8)
            .collect()
    }

    fn check(mut sum: SummedCopy, source: &[u8], cuts: &[usize], shift: usize) {
        let mut room = vec![GUARD; shift + source.len() + GUARD_BYTES];
        let mut at = 0;
        for end in cuts.iter().copied().chain([source.len()]) {
            // SAFETY: both have the bytes, and the destination is this function's.
            unsafe {
                sum.copy(
                    source[at..end].as_ptr(),
                    room[shift + at..].as_mut_ptr(),
                    end - at,
                );
            }
            at = end;
        }
        assert_eq!(sum.value(), crc32c(source));
        let (before, rest) = room.split_at(shift);
        let (copied, behind) = rest.split_at(source.len());
        assert_eq!(copied, source);
        assert!(before.iter().chain(behind).all(|byte| *byte == GUARD));
    }

    fn each_method(batch_bytes: usize) -> [SummedCopy; 2] {
        let pieces = SummedCopy {
            register: !0,
            fused: false,
            streamed: false,
        };
        [SummedCopy::new(batch_bytes), pieces]
    }

    proptest! {
        #[test]
        fn copies_and_sums_whatever_lies_where(
            length in 0usize..70_000,
            cuts in proptest::collection::vec(0.0..1.0f64, 0..6),
            skipped in 0usize..64,
            shift in 0usize..64,
            batch_bytes in prop_oneof![Just(0), Just(STREAMED_BYTES_MIN)],
        ) {
            let source = bytes(skipped + length);
            let mut cuts: Vec<usize> = cuts
                .iter()
                .map(|part| (part * length as f64) as usize)
                .collect();
            cuts.sort_unstable();
            for sum in each_method(batch_bytes) {
                check(sum, &source[skipped..], &cuts, shift);
            }
        }
    }

    #[test]
    fn every_short_length() {
        let source = bytes(1_100);
        for length in 0..source.len() {
            for sum in each_method(0) {
                check(sum, &source[..length], &[], 16);
            }
        }
    }

    #[test]
    fn bytes_that_came_another_way_and_a_fresh_start() {
        let source = bytes(9_000);
        let mut room = vec![0; 9_000];
        for mut sum in each_method(STREAMED_BYTES_MIN) {
            for _ in 0..2 {
                // SAFETY: both have the bytes, and the destination is this function's.
                unsafe { sum.copy(source.as_ptr(), room.as_mut_ptr(), 5_000) };
                sum.update(&source[5_000..8_999]);
                sum.update(&source[8_999..]);
                assert_eq!(sum.value(), crc32c(&source));
                sum.reset();
            }
        }
    }
}
