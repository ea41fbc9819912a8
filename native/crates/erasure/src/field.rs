//! GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11D), the codec's.

const POLYNOMIAL: u8 = 0x1D;

/// The product of two elements.
pub(crate) const fn product(left: u8, right: u8) -> u8 {
    let (mut sum, mut shifted, mut rest) = (0, left, right);
    while rest != 0 {
        if rest & 1 == 1 {
            sum ^= shifted;
        }
        shifted = (shifted << 1) ^ if shifted & 0x80 != 0 { POLYNOMIAL } else { 0 };
        rest >>= 1;
    }
    sum
}

/// The element to the given power.
pub(crate) const fn power(element: u8, exponent: u32) -> u8 {
    let mut result = 1;
    let mut step = 0;
    while step < exponent {
        result = product(result, element);
        step += 1;
    }
    result
}

/// What gives 1 with the element; there is none for 0.
pub(crate) const fn inverse(element: u8) -> u8 {
    assert!(element != 0, "0 has no inverse");
    // The group of all but 0 has 255 elements.
    power(element, 254)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_its_inverse() {
        for element in 1..=255 {
            assert_eq!(product(element, inverse(element)), 1);
        }
    }

    #[test]
    fn the_codec_computes_in_the_same_field() {
        let inputs: Vec<u8> = (0..=255).collect();
        for factor in 0..=255 {
            let mut outputs = vec![0; 256];
            rustfs_erasure_codec::galois_8::mul_slice(factor, &inputs, &mut outputs);
            for (input, output) in inputs.iter().zip(outputs) {
                assert_eq!(output, product(factor, *input));
            }
        }
    }
}
