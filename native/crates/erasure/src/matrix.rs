use crate::Scheme;
use crate::field::{inverse, power, product};

/// Rows of factors: row r says how output r is made, one factor an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matrix {
    columns: usize,
    factors: Vec<u8>,
}

impl Matrix {
    /// How all shards of a stripe are made from its data shards: data shards are themselves, and
    /// any k rows can be inverted. The matrix of the codec's default, a Vandermonde matrix times
    /// the inverse of its first k rows, so that other programs can read what is stored.
    pub(crate) fn of_scheme(scheme: Scheme) -> Self {
        let columns = scheme.data();
        let powers = Self {
            columns,
            factors: (0..scheme.shards())
                .flat_map(|row| (0..columns).map(move |column| power(row as u8, column as u32)))
                .collect(),
        };
        let first: Vec<usize> = (0..columns).collect();
        let top = powers.rows(&first).inverted();
        powers.times(&top.expect("powers of unlike elements are independent"))
    }

    /// The number of inputs.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Every row in order.
    pub(crate) fn each_row(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.factors.chunks_exact(self.columns)
    }

    /// Some of the rows, in the order given.
    pub(crate) fn rows(&self, wanted: &[usize]) -> Self {
        let factors = wanted
            .iter()
            .flat_map(|row| self.row(*row).iter().copied())
            .collect();
        Self {
            columns: self.columns,
            factors,
        }
    }

    /// First the other matrix, then this one.
    pub(crate) fn times(&self, first: &Self) -> Self {
        let mut factors = Vec::with_capacity(self.factors.len() / self.columns * first.columns);
        for row in self.each_row() {
            for column in 0..first.columns {
                let terms = row
                    .iter()
                    .zip(first.each_row())
                    .map(|(factor, inner)| product(*factor, inner[column]));
                factors.push(terms.fold(0, |sum, term| sum ^ term));
            }
        }
        Self {
            columns: first.columns,
            factors,
        }
    }

    /// What undoes this square matrix; `None` when nothing does. Gauss and Jordan's way.
    pub(crate) fn inverted(&self) -> Option<Self> {
        let size = self.columns;
        let mut left = self.clone();
        let mut right = Self::identity(size);
        for column in 0..size {
            let pivot = (column..size).find(|row| left.row(*row)[column] != 0)?;
            left.swap_rows(column, pivot);
            right.swap_rows(column, pivot);
            let scale = inverse(left.row(column)[column]);
            left.scale_row(column, scale);
            right.scale_row(column, scale);
            for row in (0..size).filter(|row| *row != column) {
                let factor = left.row(row)[column];
                left.add_row(column, row, factor);
                right.add_row(column, row, factor);
            }
        }
        Some(right)
    }

    fn identity(size: usize) -> Self {
        Self {
            columns: size,
            factors: (0..size * size)
                .map(|at| u8::from(at / size == at % size))
                .collect(),
        }
    }

    fn row(&self, row: usize) -> &[u8] {
        &self.factors[row * self.columns..][..self.columns]
    }

    fn swap_rows(&mut self, one: usize, other: usize) {
        for column in 0..self.columns {
            self.factors
                .swap(one * self.columns + column, other * self.columns + column);
        }
    }

    fn scale_row(&mut self, row: usize, factor: u8) {
        for value in &mut self.factors[row * self.columns..][..self.columns] {
            *value = product(*value, factor);
        }
    }

    fn add_row(&mut self, from: usize, to: usize, factor: u8) {
        for column in 0..self.columns {
            let term = product(self.factors[from * self.columns + column], factor);
            self.factors[to * self.columns + column] ^= term;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_shards_are_themselves_and_no_factor_is_zero() {
        for (data, parity) in [(1, 1), (4, 2), (8, 3), (32, 8)] {
            let scheme = Scheme::new(data, parity).expect("a scheme");
            let matrix = Matrix::of_scheme(scheme);
            let size = scheme.data();
            let rows: Vec<usize> = (0..size).collect();
            assert_eq!(matrix.rows(&rows), Matrix::identity(size));
            let parity: Vec<usize> = (size..scheme.shards()).collect();
            assert!(
                matrix
                    .rows(&parity)
                    .factors
                    .iter()
                    .all(|factor| *factor != 0)
            );
        }
    }

    #[test]
    fn the_codec_has_the_same_matrix() {
        for (data, parity) in [(1, 3), (4, 2), (5, 4), (8, 3), (32, 8)] {
            let scheme = Scheme::new(data, parity).expect("a scheme");
            let size = scheme.data();
            let codec = rustfs_erasure_codec::galois_8::ReedSolomon::new(size, scheme.parity())
                .expect("a codec");
            // Of data shards that are unit vectors, parity shards are the rows.
            let units: Vec<Vec<u8>> = (0..size)
                .map(|own| (0..size).map(|at| u8::from(at == own)).collect())
                .collect();
            let mut made = vec![vec![0; size]; scheme.parity()];
            codec.encode_sep(&units, &mut made).expect("sizes that fit");
            let matrix = Matrix::of_scheme(scheme);
            for (row, made) in matrix.each_row().skip(size).zip(made) {
                assert_eq!(row, made, "{scheme}");
            }
        }
    }

    #[test]
    fn an_inverse_undoes_and_a_singular_matrix_has_none() {
        let matrix = Matrix::of_scheme(Scheme::new(5, 4).expect("a scheme")).rows(&[1, 8, 5, 3, 7]);
        let inverse = matrix.inverted().expect("any five rows");
        assert_eq!(inverse.times(&matrix), Matrix::identity(5));
        assert_eq!(matrix.rows(&[0, 1, 2, 3, 0]).inverted(), None);
    }
}
