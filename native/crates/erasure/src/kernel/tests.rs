use holdfast_wire::checksum::crc32c;
use proptest::prelude::*;

use super::*;
use crate::Scheme;
use crate::field::product;

type Kernel = unsafe fn(&Factors, &Piece<'_>, &mut Sums<'_>);

const GUARD: u8 = 0xA5;

fn kernels() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = vec![portable::apply];
    if fused::is_possible() {
        kernels.push(fused::apply);
    }
    kernels
}

fn noise(count: usize, seed: u32) -> Vec<u8> {
    (0..count as u32)
        .map(|at| (at.wrapping_add(seed).wrapping_mul(0x9E37_79B9) >> 19) as u8)
        .collect()
}

/// Each output as the definition has it, a byte at a time.
fn expected(matrix: &Matrix, inputs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let make = |row: &[u8]| {
        let byte = |at: usize| {
            let terms = row
                .iter()
                .zip(inputs)
                .map(|(factor, input)| product(*factor, input[at]));
            terms.fold(0, |sum, term| sum ^ term)
        };
        (0..inputs[0].len()).map(byte).collect()
    };
    matrix.each_row().map(make).collect()
}

fn check(kernel: Kernel, matrix: &Matrix, lines: &[usize], shift: usize, summed: bool) {
    let factors = Factors::of(matrix);
    let bytes = 64 * lines.iter().sum::<usize>();
    let inputs: Vec<Vec<u8>> = (0..factors.inputs)
        .map(|input| noise(bytes, 7_919 * input as u32))
        .collect();
    let mut outputs = vec![vec![GUARD; shift + bytes + 64]; factors.outputs];
    let (mut input_sums, mut output_sums) = (vec![0; factors.inputs], vec![0; factors.outputs]);
    let mut at = 0;
    for piece_lines in lines {
        let piece = Piece {
            inputs: &inputs
                .iter()
                .map(|input| input[at..].as_ptr())
                .collect::<Vec<_>>(),
            outputs: &outputs
                .iter_mut()
                .map(|output| output[shift + at..].as_mut_ptr())
                .collect::<Vec<_>>(),
            bytes: 64 * piece_lines,
        };
        let mut sums = Sums {
            inputs: summed.then_some(&mut input_sums),
            outputs: summed.then_some(&mut output_sums),
        };
        // SAFETY: all have the bytes, and the outputs are this function's.
        unsafe { kernel(&factors, &piece, &mut sums) };
        at += piece.bytes;
    }
    for ((output, wanted), sum) in outputs
        .iter()
        .zip(expected(matrix, &inputs))
        .zip(output_sums)
    {
        assert_eq!(output[shift..shift + bytes], wanted);
        assert_eq!(sum, if summed { crc32c(&wanted) } else { 0 });
        let around = output[..shift].iter().chain(&output[shift + bytes..]);
        assert!(around.into_iter().all(|byte| *byte == GUARD));
    }
    if summed {
        let wanted: Vec<u32> = inputs.iter().map(|input| crc32c(input)).collect();
        assert_eq!(input_sums, wanted);
    }
}

#[test]
fn every_number_of_outputs_and_lines() {
    for parity in 1..=8 {
        let scheme = Scheme::new(3, parity).expect("a scheme");
        let rows: Vec<usize> = (3..scheme.shards()).collect();
        let matrix = Matrix::of_scheme(scheme).rows(&rows);
        for lines in 0..12 {
            for kernel in kernels() {
                check(kernel, &matrix, &[lines, 5], 16, lines % 2 == 0);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_kernel_does_what_the_definition_says(
        data in 1..=32_u8,
        parity in 1..=8_u8,
        lines in prop::collection::vec(0..90_usize, 1..4),
        shift in 0..64_usize,
        summed: bool,
    ) {
        let scheme = Scheme::new(data, parity).expect("a scheme");
        let rows: Vec<usize> = (scheme.data()..scheme.shards()).collect();
        let matrix = Matrix::of_scheme(scheme).rows(&rows);
        for kernel in kernels() {
            check(kernel, &matrix, &lines, shift, summed);
        }
    }
}
