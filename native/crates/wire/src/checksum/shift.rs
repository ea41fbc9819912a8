use super::POLYNOMIAL;

/// The power of x that is 1 again: the polynomial of CRC-32C is x + 1 times a primitive one of
/// degree 31.
pub const ORDER_OF_X: u64 = (1 << 31) - 1;

/// What so many bytes that follow do to a CRC-32C: sums of parts become the sum of the whole, and
/// the other way, without the bytes.
///
/// The sum of A, B is the sum of A times x to the number of B's bits, plus the sum of B; and x has
/// an inverse, so that a part can be taken off again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    ahead: u32,
    back: u32,
}

impl Shift {
    /// The shift over `bytes` bytes.
    #[must_use]
    pub const fn over(bytes: u64) -> Self {
        let exponent = 8 * (bytes % ORDER_OF_X) % ORDER_OF_X;
        Self {
            ahead: power(&SQUARES, exponent),
            back: power(&INVERSE_SQUARES, exponent),
        }
    }

    /// The sum of two parts one after the other; the second has as many bytes as the shift.
    #[must_use]
    pub fn join(&self, first: u32, second: u32) -> u32 {
        product(self.ahead, first) ^ second
    }

    /// The sum of the first part, from that of the whole and of the second part.
    #[must_use]
    pub fn split(&self, whole: u32, second: u32) -> u32 {
        product(self.back, whole ^ second)
    }
}

/// x, its square, the square of that and so on: a power takes a product for each bit that is set,
/// few where sizes are round.
const SQUARES: [u32; EXPONENT_BITS] = squares(1 << 30);
/// The same of what gives 1 with x.
const INVERSE_SQUARES: [u32; EXPONENT_BITS] = squares(power(&SQUARES, ORDER_OF_X - 1));
const EXPONENT_BITS: usize = 31;

const fn squares(first: u32) -> [u32; EXPONENT_BITS] {
    let mut squares = [first; EXPONENT_BITS];
    let mut at = 1;
    while at < EXPONENT_BITS {
        squares[at] = product(squares[at - 1], squares[at - 1]);
        at += 1;
    }
    squares
}

/// x to the given power modulo the polynomial of CRC-32C, lowest bit first: what folding
/// multiplies with.
#[must_use]
pub const fn power_of_x(exponent: u64) -> u32 {
    power(&SQUARES, exponent % ORDER_OF_X)
}

const fn power(squares: &[u32; EXPONENT_BITS], exponent: u64) -> u32 {
    let mut power = 1 << 31;
    let mut at = 0;
    while at < EXPONENT_BITS {
        if exponent >> at & 1 == 1 {
            power = product(power, squares[at]);
        }
        at += 1;
    }
    power
}

/// The product of two polynomials modulo that of CRC-32C, lowest bit first.
const fn product(left: u32, right: u32) -> u32 {
    let mut sum = 0;
    let mut shifted = right;
    let mut bit = 1 << 31;
    while bit != 0 {
        if left & bit != 0 {
            sum ^= shifted;
        }
        shifted = (shifted >> 1) ^ if shifted & 1 == 1 { POLYNOMIAL } else { 0 };
        bit >>= 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checksum::crc32c;

    #[test]
    fn x_to_its_order_is_one() {
        let last = power_of_x(ORDER_OF_X - 1);
        assert_eq!(product(last, power_of_x(1)), power_of_x(0));
        assert_eq!(power_of_x(ORDER_OF_X), power_of_x(0));
        assert_ne!(power_of_x(1), power_of_x(0));
        assert_eq!(Shift::over(ORDER_OF_X), Shift::over(0));
        assert_eq!(Shift::over(u64::MAX), Shift::over(u64::MAX % ORDER_OF_X));
    }

    proptest! {
        #[test]
        fn parts_and_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..5_000),
            part in 0.0..=1.0f64,
        ) {
            let cut = (part * bytes.len() as f64) as usize;
            let (first, second) = (crc32c(&bytes[..cut]), crc32c(&bytes[cut..]));
            let shift = Shift::over((bytes.len() - cut) as u64);
            prop_assert_eq!(shift.join(first, second), crc32c(&bytes));
            prop_assert_eq!(shift.split(crc32c(&bytes), second), first);
        }

        #[test]
        fn shifts_add_up(left in 0..1u64 << 40, right in 0..1u64 << 40, sum: u32) {
            let both = Shift::over(left + right);
            let twice = Shift::over(right).join(Shift::over(left).join(sum, 0), 0);
            prop_assert_eq!(both.join(sum, 0), twice);
            prop_assert_eq!(both.split(twice, 0), sum);
        }
    }
}
