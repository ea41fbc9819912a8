//! Multiplication, addition and CRC-32C in one pass: each 64 bytes of an input are loaded once,
//! multiplied into up to four outputs in registers, and folded into the input's sum; outputs are
//! folded when they are stored. One after the other the two take half as long again, because they
//! wait for unlike parts of the processor.
//!
//! A multiplication by a factor is linear in the bits, so it is one `vgf2p8affineqb` with a matrix
//! of its own, whatever the field's polynomial.

use std::arch::x86_64::{
    __m512i, _mm512_gf2p8affine_epi64_epi8, _mm512_loadu_si512, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_storeu_si512, _mm512_xor_si512,
};
use std::mem::MaybeUninit;

use super::fold::{Fold, LANE_BYTES, LANES, STRIDE_BYTES};
use super::{Factors, Piece, Sums};
use crate::DATA_SHARDS_MAX;

const INPUTS_MAX: usize = DATA_SHARDS_MAX as usize;
/// Outputs that are made in one pass; their parts of a stride have to fit into the registers.
const OUTPUTS_MAX: usize = 4;

/// Whether this processor has the instructions.
pub(super) fn is_possible() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("gfni")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("sse4.2")
}

/// # Safety
/// As [`super::apply`], and [`is_possible`].
pub(super) unsafe fn apply(factors: &Factors, piece: &Piece<'_>, sums: &mut Sums<'_>) {
    for first in (0..piece.outputs.len()).step_by(OUTPUTS_MAX) {
        let last = piece.outputs.len().min(first + OUTPUTS_MAX);
        let part = Part {
            bits: &factors.bits[first..],
            pitch: factors.outputs,
            inputs: piece.inputs,
            outputs: &piece.outputs[first..last],
        };
        // Inputs pass more than once when there are many outputs; they are summed the first time.
        let input_sums = sums.inputs.as_deref_mut().filter(|_| first == 0);
        let output_sums = sums
            .outputs
            .as_deref_mut()
            .map(|sums| &mut sums[first..last]);
        // SAFETY: as the caller promises.
        unsafe {
            match last - first {
                1 => part.make::<1, 8>(piece.bytes, input_sums, output_sums),
                2 => part.make::<2, 8>(piece.bytes, input_sums, output_sums),
                3 => part.make::<3, 4>(piece.bytes, input_sums, output_sums),
                4 => part.make::<4, 4>(piece.bytes, input_sums, output_sums),
                outputs => unreachable!("{outputs} outputs in a pass"),
            }
        }
    }
}

/// Some of the outputs, and all inputs.
struct Part<'a> {
    bits: &'a [u64],
    /// Factors of one input to those of the next.
    pitch: usize,
    inputs: &'a [*const u8],
    outputs: &'a [*mut u8],
}

/// What the bytes so far were folded into.
struct Folds<'a, const O: usize> {
    inputs: &'a mut [Fold],
    outputs: [Fold; O],
}

impl Part<'_> {
    /// Makes `O` outputs, `L` lanes at a time.
    ///
    /// # Safety
    /// As [`apply`].
    unsafe fn make<const O: usize, const L: usize>(
        &self,
        bytes: usize,
        input_sums: Option<&mut [u32]>,
        output_sums: Option<&mut [u32]>,
    ) {
        // SAFETY: as the caller promises.
        unsafe {
            match (input_sums, output_sums) {
                (None, None) => self.walk::<O, L, false, false>(bytes, &mut [], &mut []),
                (None, Some(sums)) => self.walk::<O, L, false, true>(bytes, &mut [], sums),
                (Some(sums), None) => self.walk::<O, L, true, false>(bytes, sums, &mut []),
                (Some(inputs), Some(outputs)) => {
                    self.walk::<O, L, true, true>(bytes, inputs, outputs);
                }
            }
        }
    }

    /// # Safety
    /// As [`apply`]; sums of inputs where `IN`, sums of outputs where `OUT`.
    #[target_feature(enable = "avx512f,gfni,vpclmulqdq,sse4.2")]
    unsafe fn walk<const O: usize, const L: usize, const IN: bool, const OUT: bool>(
        &self,
        bytes: usize,
        input_sums: &mut [u32],
        output_sums: &mut [u32],
    ) {
        // Room for all would take as long to fill as some kilobytes take to pass.
        let mut room = [const { MaybeUninit::<Fold>::uninit() }; INPUTS_MAX];
        let room = &mut room[..self.inputs.len()];
        for (input, fold) in room.iter_mut().enumerate() {
            fold.write(Fold::after(input_sums.get(input).copied().unwrap_or(0)));
        }
        let mut folds = Folds {
            // SAFETY: the slice was written from end to end.
            inputs: unsafe { room.assume_init_mut() },
            outputs: [Fold::after(0); O],
        };
        for (fold, sum) in folds.outputs.iter_mut().zip(output_sums.iter()) {
            *fold = Fold::after(*sum);
        }
        let mut at = 0;
        // SAFETY: inside of the piece.
        unsafe {
            while bytes - at >= L * LANE_BYTES {
                self.step::<O, L, IN, OUT>(at, &mut folds);
                at += L * LANE_BYTES;
            }
            while bytes - at >= STRIDE_BYTES {
                self.step::<O, LANES, IN, OUT>(at, &mut folds);
                at += STRIDE_BYTES;
            }
            let rest = at;
            while at < bytes {
                self.step::<O, 1, false, false>(at, &mut folds);
                at += LANE_BYTES;
            }
            for ((from, fold), sum) in self.inputs.iter().zip(&*folds.inputs).zip(input_sums) {
                *sum = fold.finish(from.add(rest), bytes - rest);
            }
            for ((to, fold), sum) in self.outputs.iter().zip(&folds.outputs).zip(output_sums) {
                *sum = fold.finish(to.add(rest), bytes - rest);
            }
        }
    }

    /// # Safety
    /// As [`Self::walk`], for `L` lanes at offset `at`.
    #[inline]
    #[target_feature(enable = "avx512f,gfni,vpclmulqdq")]
    unsafe fn step<const O: usize, const L: usize, const IN: bool, const OUT: bool>(
        &self,
        at: usize,
        folds: &mut Folds<'_, O>,
    ) {
        let mut made: [[__m512i; L]; O] = [[_mm512_setzero_si512(); L]; O];
        for (input, (from, fold)) in self.inputs.iter().zip(&mut *folds.inputs).enumerate() {
            // SAFETY: inside of the input.
            let lanes: [__m512i; L] = std::array::from_fn(|lane| unsafe {
                _mm512_loadu_si512(from.add(at + lane * LANE_BYTES).cast())
            });
            if IN {
                fold.add(&lanes);
            }
            for (output, sums) in made.iter_mut().enumerate() {
                // SAFETY: there is a factor for each input and output.
                let bits = unsafe { *self.bits.get_unchecked(input * self.pitch + output) };
                let bits = _mm512_set1_epi64(bits as i64);
                for (sum, lane) in sums.iter_mut().zip(lanes) {
                    let term = _mm512_gf2p8affine_epi64_epi8::<0>(lane, bits);
                    *sum = _mm512_xor_si512(*sum, term);
                }
            }
        }
        for ((to, lanes), fold) in self.outputs.iter().zip(&made).zip(&mut folds.outputs) {
            for (lane, value) in lanes.iter().enumerate() {
                // SAFETY: inside of the output.
                unsafe { _mm512_storeu_si512(to.add(at + lane * LANE_BYTES).cast(), *value) };
            }
            if OUT {
                fold.add(lanes);
            }
        }
    }
}
