//! Percentiles.

/// The value below which `permille` thousandths of the (sorted) values lie, by the nearest rank; `None` of nothing.
pub fn percentile<T: Copy>(sorted: &[T], permille: usize) -> Option<T> {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}
