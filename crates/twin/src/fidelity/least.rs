//! Least squares that outliers hardly move, by the way of Levenberg and Marquardt.

use super::linear::{Cholesky, dot};
use std::cmp::Ordering;

/// Rounds of a walk, and the step below which it ends.
const WALK_ROUNDS: usize = 60;
const WALK_STEP_MIN: f64 = 0.004;

/// How a least sum of squares is looked for.
pub(super) struct Search {
    /// Slopes are taken over so much.
    pub nudge: f64,
    /// Steps at most.
    pub rounds: usize,
    /// A step that gains less than this part of the sum is the last.
    pub enough: f64,
}

/// Where a walk along one number at a time finds less: for sums that jump, as those of simulations do.
pub(super) fn walk(start: Vec<f64>, residuals: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let sum = |at: &[f64]| {
        let values = residuals(at);
        dot(&values, &values)
    };
    let mut best = sum(&start);
    let mut at = start;
    let mut steps = vec![0.5; at.len()];
    for _ in 0..WALK_ROUNDS {
        let before = at.clone();
        for number in 0..at.len() {
            let was = at[number];
            let better = [1.0, -1.0].into_iter().find(|way| {
                at[number] = was + way * steps[number];
                let there = sum(&at);
                let less = there < best;
                if less {
                    best = there;
                }
                less
            });
            if better.is_some() {
                steps[number] *= 1.4;
            } else {
                at[number] = was;
                steps[number] *= 0.5;
            }
        }
        // As far again in the direction of the whole round (Hooke and Jeeves), for as long as it helps.
        let mut stride: Vec<f64> = at.iter().zip(&before).map(|(now, was)| now - was).collect();
        for _ in 0..WALK_ROUNDS {
            let there: Vec<f64> = at
                .iter()
                .zip(&stride)
                .map(|(now, step)| now + step)
                .collect();
            let less = sum(&there);
            // What is no number is not less either.
            if less.partial_cmp(&best) != Some(Ordering::Less) {
                break;
            }
            (at, best) = (there, less);
            stride.iter_mut().for_each(|step| *step *= 1.5);
        }
        if steps.iter().all(|step| *step < WALK_STEP_MIN) {
            break;
        }
    }
    at
}

impl Search {
    /// Where the sum of squared residuals is least, from `start`.
    pub fn least(&self, start: Vec<f64>, residuals: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
        let mut at = start;
        let mut here = residuals(&at);
        let mut sum = dot(&here, &here);
        let mut damping = 1e-2;
        for _ in 0..self.rounds {
            let slopes: Vec<Vec<f64>> = (0..at.len())
                .map(|number| {
                    let mut nudged = at.clone();
                    nudged[number] += self.nudge;
                    let there = residuals(&nudged);
                    let pairs = there.iter().zip(&here);
                    pairs
                        .map(|(there, here)| (there - here) / self.nudge)
                        .collect()
                })
                .collect();
            let better = (0..6).find_map(|_| {
                let next = step(&at, &slopes, &here, damping)?;
                let there = residuals(&next);
                let there_sum = dot(&there, &there);
                if there_sum < sum {
                    damping = (damping / 4.0).max(1e-9);
                    Some((next, there, there_sum))
                } else {
                    damping *= 6.0;
                    None
                }
            });
            let Some((next, there, there_sum)) = better else {
                break;
            };
            let gained = sum - there_sum;
            (at, here, sum) = (next, there, there_sum);
            if gained < self.enough * sum {
                break;
            }
        }
        at
    }
}

/// Where to go from here; a step is short enough that logarithms stay sane.
fn step(at: &[f64], slopes: &[Vec<f64>], values: &[f64], damping: f64) -> Option<Vec<f64>> {
    let size = at.len();
    let mut matrix = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..=row {
            let sum = dot(&slopes[row], &slopes[column]);
            matrix[row * size + column] = sum;
            matrix[column * size + row] = sum;
        }
        matrix[row * size + row] *= 1.0 + damping;
        matrix[row * size + row] += 1e-9;
    }
    let right: Vec<f64> = slopes.iter().map(|slope| -dot(slope, values)).collect();
    let moved = Cholesky::of(matrix, size)?.solve(&right);
    Some(
        at.iter()
            .zip(moved)
            .map(|(value, step)| (value + step.clamp(-1.5, 1.5)).clamp(-8.0, 12.0))
            .collect(),
    )
}

/// A number whose square grows like the error itself beyond `outlier`, and like its square below.
pub(super) fn softened(error: f64, outlier: f64) -> f64 {
    let times = error / outlier;
    let soft = 2.0 * ((1.0 + times * times).sqrt() - 1.0);
    outlier * soft.sqrt().copysign(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_through_points_with_one_far_off() {
        let points: Vec<(f64, f64)> = (0_u8..20)
            .map(|x| {
                let x = f64::from(x);
                (x, if x == 7.0 { 40.0 } else { 2.0 * x - 3.0 })
            })
            .collect();
        let search = Search {
            nudge: 1e-6,
            rounds: 60,
            enough: 1e-12,
        };
        let at = search.least(vec![0.0, 0.0], |at| {
            let errors = points.iter().map(|(x, y)| at[0] * x + at[1] - y);
            errors.map(|error| softened(error, 0.1)).collect()
        });
        assert!(
            (at[0] - 2.0).abs() < 0.05 && (at[1] + 3.0).abs() < 0.3,
            "{at:?}"
        );
    }
}
