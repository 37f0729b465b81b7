//! Symmetric systems of equations.

/// A lower triangle `L` with `L Lᵀ` = the matrix, which is stored by rows and must be symmetric and positive.
pub(super) struct Cholesky {
    lower: Vec<f64>,
    size: usize,
}

impl Cholesky {
    /// `None` where the matrix is not positive.
    pub fn of(mut matrix: Vec<f64>, size: usize) -> Option<Self> {
        for row in 0..size {
            let (above, rest) = matrix.split_at_mut(row * size);
            let own = rest.get_mut(..size)?;
            for column in 0..row {
                let other = above.get(column * size..(column + 1) * size)?;
                let sum = dot(own.get(..column)?, other.get(..column)?);
                own[column] = (own[column] - sum) / other[column];
            }
            let sum = dot(own.get(..row)?, own.get(..row)?);
            let left = own[row] - sum;
            if left <= 0.0 || !left.is_finite() {
                return None;
            }
            own[row] = left.sqrt();
        }
        Some(Self {
            lower: matrix,
            size,
        })
    }

    /// `L⁻¹ right`.
    pub fn half(&self, right: &[f64]) -> Vec<f64> {
        let mut solved: Vec<f64> = Vec::with_capacity(self.size);
        for (row, value) in right.iter().enumerate().take(self.size) {
            let own = &self.lower[row * self.size..];
            let sum = dot(&own[..row], &solved);
            solved.push((value - sum) / own[row]);
        }
        solved
    }

    /// The solution of `matrix × x = right`.
    pub fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut solved = self.half(right);
        for row in (0..self.size).rev() {
            let own = &self.lower[row * self.size..(row + 1) * self.size];
            let value = solved[row] / own[row];
            solved[row] = value;
            for (before, factor) in solved[..row].iter_mut().zip(own) {
                *before -= factor * value;
            }
        }
        solved
    }
}

/// Four sums at a time, so that the processor has something to do while it waits for one.
pub(super) fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (lefts, rights) = (left.chunks_exact(4), right.chunks_exact(4));
    let rest: f64 = lefts
        .remainder()
        .iter()
        .zip(right.get(left.len() / 4 * 4..).unwrap_or_default())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in lefts.zip(rights) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_solves() {
        let matrix = vec![4.0, 2.0, 0.6, 2.0, 5.0, 1.0, 0.6, 1.0, 3.0];
        let right = [1.0, -2.0, 3.0];
        let solved = Cholesky::of(matrix.clone(), 3).unwrap().solve(&right);
        for (row, value) in matrix.chunks(3).zip(right) {
            assert!((dot(row, &solved) - value).abs() < 1e-12);
        }
        assert!(Cholesky::of(vec![1.0, 2.0, 2.0, 1.0], 2).is_none());
    }
}
