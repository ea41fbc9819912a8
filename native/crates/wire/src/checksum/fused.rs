//! Copy and CRC-32C in one pass: each 64 bytes are loaded once, stored, and folded into the sum.
//!
//! Folding follows Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
//! Instruction" (Intel, 2009), four registers of 64 bytes wide.

use std::arch::x86_64::{
    __m512i, _mm_crc32_u8, _mm_crc32_u64, _mm_cvtsi32_si128, _mm_sfence, _mm512_clmulepi64_epi128,
    _mm512_loadu_si512, _mm512_set4_epi64, _mm512_setzero_si512, _mm512_storeu_si512,
    _mm512_stream_si512, _mm512_ternarylogic_epi64, _mm512_xor_si512, _mm512_zextsi128_si512,
};

const LANES: usize = 4;
const LANE_BYTES: usize = 64;
const STRIDE_BYTES: usize = LANES * LANE_BYTES;
/// What the two halves of 16 bytes are multiplied with to stand one stride further on.
const AHEAD_LOW: i64 = factor(8 * STRIDE_BYTES as u64 + 32);
const AHEAD_HIGH: i64 = factor(8 * STRIDE_BYTES as u64 - 32);

/// x to the given power, times x because the product of two such numbers comes out one bit short.
const fn factor(exponent: u64) -> i64 {
    (super::power_of_x(exponent) as i64) << 1
}

/// Whether this processor has the instructions.
pub(super) fn is_possible() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("sse4.2")
}

/// Makes streamed stores visible before whatever is stored next.
pub(super) fn settle() {
    // SAFETY: a fence of SSE, which is part of x86-64.
    unsafe { _mm_sfence() };
}

/// Copies, and returns the sum's register after these bytes; `streamed`: past the caches.
///
/// # Safety
/// [`is_possible`]; both places have `bytes` bytes and do not overlap.
#[target_feature(enable = "avx512f,vpclmulqdq,sse4.2")]
pub(super) unsafe fn copy(
    from: *const u8,
    to: *mut u8,
    bytes: usize,
    register: u32,
    streamed: bool,
) -> u32 {
    // Stores are aligned: one that crosses two cache lines costs twice.
    let head = to.align_offset(LANE_BYTES).min(bytes);
    let strides = (bytes - head) / STRIDE_BYTES;
    let tail = head + strides * STRIDE_BYTES;
    // SAFETY: the three parts make up what the caller promises.
    unsafe {
        let mut register = copy_edge(from, to, head, register);
        if strides > 0 {
            let (from, to) = (from.add(head), to.add(head));
            register = if streamed {
                copy_strides::<true>(from, to, strides, register)
            } else {
                copy_strides::<false>(from, to, strides, register)
            };
        }
        copy_edge(from.add(tail), to.add(tail), bytes - tail, register)
    }
}

/// # Safety
/// As [`copy`]; `to` is aligned to a lane, `strides` is not 0.
#[target_feature(enable = "avx512f,vpclmulqdq,sse4.2")]
unsafe fn copy_strides<const STREAMED: bool>(
    from: *const u8,
    to: *mut u8,
    strides: usize,
    register: u32,
) -> u32 {
    let ahead = _mm512_set4_epi64(AHEAD_HIGH, AHEAD_LOW, AHEAD_HIGH, AHEAD_LOW);
    let mut folded = [_mm512_setzero_si512(); LANES];
    for (lane, sum) in folded.iter_mut().enumerate() {
        // SAFETY: inside the first stride.
        *sum = unsafe { copy_lane::<STREAMED>(from, to, lane * LANE_BYTES) };
    }
    let before = _mm512_zextsi128_si512(_mm_cvtsi32_si128(register as i32));
    folded[0] = _mm512_xor_si512(folded[0], before);
    for stride in 1..strides {
        for (lane, sum) in folded.iter_mut().enumerate() {
            // SAFETY: inside this stride.
            let next = unsafe {
                copy_lane::<STREAMED>(from, to, stride * STRIDE_BYTES + lane * LANE_BYTES)
            };
            *sum = fold(*sum, ahead, next);
        }
    }
    let mut rest = [0u64; STRIDE_BYTES / 8];
    for (lane, sum) in folded.into_iter().enumerate() {
        // SAFETY: eight words of the array, which has a lane for each.
        unsafe { _mm512_storeu_si512(rest.as_mut_ptr().add(8 * lane).cast(), sum) };
    }
    // What was folded has the same remainder as all that went into it.
    rest.iter().fold(0, |sum, word| _mm_crc32_u64(sum, *word)) as u32
}

/// Loads once and stores: what is summed is what was stored.
///
/// # Safety
/// 64 bytes at `at` of both; `to` is aligned to a lane.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn copy_lane<const STREAMED: bool>(from: *const u8, to: *mut u8, at: usize) -> __m512i {
    // SAFETY: as the caller promises.
    unsafe {
        let lane = _mm512_loadu_si512(from.add(at).cast());
        if STREAMED {
            _mm512_stream_si512(to.add(at).cast(), lane);
        } else {
            _mm512_storeu_si512(to.add(at).cast(), lane);
        }
        lane
    }
}

/// The sum one stride further on, with the next bytes added.
#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
fn fold(sum: __m512i, ahead: __m512i, next: __m512i) -> __m512i {
    const ADD_ALL_THREE: i32 = 0x96;
    let low = _mm512_clmulepi64_epi128::<0x00>(sum, ahead);
    let high = _mm512_clmulepi64_epi128::<0x11>(sum, ahead);
    _mm512_ternarylogic_epi64::<ADD_ALL_THREE>(low, high, next)
}

/// Few bytes, eight at a time.
///
/// # Safety
/// As [`copy`].
#[inline]
#[target_feature(enable = "sse4.2")]
unsafe fn copy_edge(from: *const u8, to: *mut u8, bytes: usize, register: u32) -> u32 {
    let mut register = register;
    let words = bytes / 8;
    for word in 0..words {
        // SAFETY: inside of both; neither need be aligned.
        unsafe {
            let loaded = from.cast::<u64>().add(word).read_unaligned();
            to.cast::<u64>().add(word).write_unaligned(loaded);
            register = _mm_crc32_u64(register.into(), loaded) as u32;
        }
    }
    for at in 8 * words..bytes {
        // SAFETY: inside of both.
        unsafe {
            let loaded = from.add(at).read();
            to.add(at).write(loaded);
            register = _mm_crc32_u8(register, loaded);
        }
    }
    register
}
