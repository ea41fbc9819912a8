//! CRC-32C by folding, after Gopal et al., "Fast CRC Computation for Generic Polynomials Using
//! PCLMULQDQ Instruction" (Intel, 2009), four registers of 64 bytes wide.

use std::arch::x86_64::{
    __m512i, _mm_crc32_u64, _mm_cvtsi32_si128, _mm512_clmulepi64_epi128, _mm512_set4_epi64,
    _mm512_setzero_si512, _mm512_storeu_si512, _mm512_ternarylogic_epi64, _mm512_zextsi128_si512,
};

use holdfast_wire::checksum::{ORDER_OF_X, power_of_x};

pub(super) const LANE_BYTES: usize = 64;
pub(super) const LANES: usize = 4;
pub(super) const STRIDE_BYTES: usize = LANES * LANE_BYTES;
/// What the two halves of 16 bytes are multiplied with to stand one stride further on.
const AHEAD_LOW: i64 = factor(8 * STRIDE_BYTES as u64 + 32);
const AHEAD_HIGH: i64 = factor(8 * STRIDE_BYTES as u64 - 32);

/// The same one stride back.
const BACK_LOW: i64 = factor(ORDER_OF_X - 8 * STRIDE_BYTES as u64 + 32);

/// x to the given power, times x because the product of two such numbers comes out one bit short.
const fn factor(exponent: u64) -> i64 {
    (power_of_x(exponent) as i64) << 1
}

/// What the strides of one shard were folded into: as many bytes, with the same remainder as all
/// that went into them.
#[derive(Clone, Copy)]
pub(super) struct Fold {
    lanes: [__m512i; LANES],
}

impl Fold {
    /// Goes on after the sum of what came before.
    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    pub(super) fn after(sum: u32) -> Self {
        // A sum's register, its complement, belongs to the first bytes that follow. The next
        // stride moves it there.
        let register = _mm512_zextsi128_si512(_mm_cvtsi32_si128(!sum as i32));
        let back = _mm512_set4_epi64(0, BACK_LOW, 0, BACK_LOW);
        let mut lanes = [_mm512_setzero_si512(); LANES];
        lanes[0] = _mm512_clmulepi64_epi128::<0x00>(register, back);
        Self { lanes }
    }

    /// Adds the next bytes, one or more strides.
    #[inline]
    #[target_feature(enable = "avx512f,vpclmulqdq")]
    pub(super) fn add<const L: usize>(&mut self, next: &[__m512i; L]) {
        const ADD_ALL_THREE: i32 = 0x96;
        let ahead = _mm512_set4_epi64(AHEAD_HIGH, AHEAD_LOW, AHEAD_HIGH, AHEAD_LOW);
        for stride in next.chunks_exact(LANES) {
            for (sum, next) in self.lanes.iter_mut().zip(stride) {
                let low = _mm512_clmulepi64_epi128::<0x00>(*sum, ahead);
                let high = _mm512_clmulepi64_epi128::<0x11>(*sum, ahead);
                *sum = _mm512_ternarylogic_epi64::<ADD_ALL_THREE>(low, high, *next);
            }
        }
    }

    /// The sum, with the last bytes added: fewer than a stride, whole lanes.
    ///
    /// # Safety
    /// There are so many bytes at `from`.
    #[inline]
    #[target_feature(enable = "avx512f,sse4.2")]
    pub(super) unsafe fn finish(&self, from: *const u8, bytes: usize) -> u32 {
        let mut words = [0u64; STRIDE_BYTES / 8];
        for (lane, value) in self.lanes.iter().enumerate() {
            // SAFETY: eight words of the array, which has a lane for each.
            unsafe { _mm512_storeu_si512(words.as_mut_ptr().add(8 * lane).cast(), *value) };
        }
        let mut register = 0;
        for word in words {
            register = _mm_crc32_u64(register, word);
        }
        for at in (0..bytes).step_by(8) {
            // SAFETY: inside of the bytes.
            let word = unsafe { from.add(at).cast::<u64>().read_unaligned() };
            register = _mm_crc32_u64(register, word);
        }
        !(register as u32)
    }
}
