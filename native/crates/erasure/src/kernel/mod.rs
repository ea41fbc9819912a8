//! Where all bytes pass: outputs are made from inputs by a matrix, and summed on the way.

#[cfg(target_arch = "x86_64")]
mod fold;
#[cfg(target_arch = "x86_64")]
mod fused;
mod portable;

use crate::matrix::Matrix;

/// A matrix as the kernels want it: factors of one input side by side.
#[derive(Debug)]
pub(crate) struct Factors {
    inputs: usize,
    outputs: usize,
    /// The factors themselves.
    factors: Vec<u8>,
    /// Each as the matrix of bits that multiplies by it.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    bits: Vec<u64>,
}

/// Bytes of every input and every output, from one offset on.
pub(crate) struct Piece<'a> {
    pub inputs: &'a [*const u8],
    pub outputs: &'a [*mut u8],
    pub bytes: usize,
}

/// CRC-32C of each input and output so far; left out where nobody asks.
pub(crate) struct Sums<'a> {
    pub inputs: Option<&'a mut [u32]>,
    pub outputs: Option<&'a mut [u32]>,
}

impl Factors {
    pub(crate) fn of(matrix: &Matrix) -> Self {
        let (inputs, outputs) = (matrix.columns(), matrix.each_row().len());
        let factors: Vec<u8> = (0..inputs)
            .flat_map(|input| matrix.each_row().map(move |row| row[input]))
            .collect();
        let bits = factors.iter().map(|factor| bits_of(*factor)).collect();
        Self {
            inputs,
            outputs,
            factors,
            bits,
        }
    }
}

/// Which kernel this processor gets, for figures and logs.
#[must_use]
pub fn name() -> &'static str {
    if fused::is_possible() {
        "fused-gfni-avx512"
    } else {
        rustfs_erasure_codec::galois_8::active_backend_name()
    }
}

/// Makes the outputs from the inputs, and goes on with the sums.
///
/// # Safety
/// As many inputs and outputs as the factors have; all have the piece's bytes, a multiple of 64,
/// and no output overlaps anything else. Others may write to inputs meanwhile: then the outputs
/// are of no use, and the sums say so.
pub(crate) unsafe fn apply(factors: &Factors, piece: &Piece<'_>, sums: &mut Sums<'_>) {
    assert_eq!(piece.inputs.len(), factors.inputs);
    assert_eq!(piece.outputs.len(), factors.outputs);
    if fused::is_possible() {
        // SAFETY: as the caller promises; the processor was asked.
        unsafe { fused::apply(factors, piece, sums) }
    } else {
        // SAFETY: as the caller promises.
        unsafe { portable::apply(factors, piece, sums) }
    }
}

/// Multiplication by a factor as the instruction `vgf2p8affineqb` takes it: bit b of an input byte
/// stands for x^b, row i of the matrix is byte 7 - i.
fn bits_of(factor: u8) -> u64 {
    let mut bits = 0;
    for bit in 0..8 {
        let product = crate::field::product(factor, 1 << bit);
        for row in 0..8 {
            let is_set = u64::from(product >> row & 1);
            bits |= is_set << (8 * (7 - row) + bit);
        }
    }
    bits
}

/// Elsewhere nothing does all of it at once.
#[cfg(not(target_arch = "x86_64"))]
mod fused {
    use super::{Factors, Piece, Sums};

    pub(super) fn is_possible() -> bool {
        false
    }

    pub(super) unsafe fn apply(_: &Factors, _: &Piece<'_>, _: &mut Sums<'_>) {
        unreachable!("not without `is_possible`")
    }
}

#[cfg(test)]
mod tests;
