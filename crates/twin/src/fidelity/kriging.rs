//! What is left beside the closed form, interpolated between measurements (kriging: a Gaussian process, by the nearest of them).
//!
//! Two settings resemble each other by what they have in common by name, and by how near their sizes are. Each kind of
//! likeness explains a part of the variance; what none explains stays in the band.

use super::linear::{Cholesky, dot};
use super::setting::Setting;
use serde::{Deserialize, Serialize};

/// Measurements that an answer is interpolated between.
const NEAREST: usize = 200;
/// Variance of a measurement itself, in squared logarithms; where prompts have engines of their own, rows do not say how many
/// engines there are, nor whether tokens are guessed ahead.
const NOISE: f64 = 0.003;
const NOISE_SPLIT: f64 = 0.012;
/// Errors beyond e are not likely to say anything about others.
const LEFT_MAX: f64 = 1.0;
const LEFT_FIRST_MAX: f64 = 2.0;
/// Lengths over which likeness fades: requests, input, output, accelerators, attention ranks, expert ranks, accelerators for
/// prompts; in doublings.
const LENGTHS: [f64; 7] = [1.5, 2.0, 2.0, 1.0, 1.5, 1.5, 1.5];
/// Likewise of chips: memory bandwidth and operations.
const CHIP_LENGTHS: [f64; 2] = [0.5, 0.7];

/// A measurement and what the closed form left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Left {
    /// Prompts have engines of their own.
    pub split: bool,
    /// What it has in common with others by name: engine, version, chip, model, how it is built, precision.
    pub kinds: [String; 6],
    /// Its sizes.
    pub place: [f64; 9],
    /// Logarithm of measured over predicted time of a token.
    pub tpot: f64,
    /// Likewise of time to the first token.
    pub ttft: f64,
}

impl Left {
    /// Of a setting.
    pub(super) fn new(setting: &Setting, tpot: f64, ttft: f64) -> Self {
        Self {
            split: setting.split,
            kinds: setting.kinds.clone(),
            place: setting.place(),
            tpot: tpot.clamp(-LEFT_MAX, LEFT_MAX),
            ttft: ttft.clamp(-LEFT_FIRST_MAX, LEFT_FIRST_MAX),
        }
    }
}

/// What is expected to be left, with the standard deviation: logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expected {
    pub tpot: f64,
    pub ttft: f64,
    pub deviation: f64,
}

/// How much two settings have in common, in squared logarithms.
fn likeness(one: &Left, other: &Left) -> f64 {
    if one.split != other.split {
        return 0.0;
    }
    let apart = |range: std::ops::Range<usize>, lengths: &[f64]| -> f64 {
        let ends = one.place[range.clone()].iter().zip(&other.place[range]);
        ends.zip(lengths)
            .map(|((a, b), length)| ((a - b) / length).powi(2))
            .sum()
    };
    let sizes = apart(0..7, &LENGTHS);
    let far = (-sizes / 8.0).exp();
    let near = (-sizes / 2.0).exp();
    let chips = (-apart(7..9, &CHIP_LENGTHS) / 2.0).exp();
    let same = |at: usize| one.kinds[at] == other.kinds[at];
    let [engine, version, chip, model, build, precision] = std::array::from_fn(same);
    let mut sum = 0.01;
    sum += if build { 0.01 } else { 0.0 };
    sum += if model { 0.01 } else { 0.0 };
    let mut close = 0.0;
    if engine {
        sum += 0.02 + 0.01 * chips;
        sum += if build { 0.01 } else { 0.0 };
        if model {
            sum += 0.03 + 0.03 * chips;
            sum += if chip { 0.015 } else { 0.0 };
            if precision {
                sum += 0.02;
                close += 0.03 * chips;
                if chip && version {
                    close += 0.02 + 0.02 * (-7.5 * sizes).exp();
                }
            }
        }
    }
    0.6 * sum * far + close * near
}

fn noise(split: bool) -> f64 {
    if split { NOISE_SPLIT } else { NOISE }
}

/// Whether a measurement says something of another: one that the closed form misses altogether only of those of the same engine's
/// version on the same chip.
fn tells(measured: &Left, asked: &Left) -> bool {
    measured.tpot.abs() < LEFT_MAX
        || (measured.kinds[..3] == asked.kinds[..3] && measured.kinds[3] == asked.kinds[3])
}

/// Interpolates.
pub(super) fn expected(measured: &[Left], asked: &Left) -> Expected {
    let mut near: Vec<(f64, &Left)> = measured
        .iter()
        .map(|other| (likeness(asked, other), other))
        .filter(|(common, other)| *common > 1e-6 && tells(other, asked))
        .collect();
    if near.len() > NEAREST {
        near.select_nth_unstable_by(NEAREST, |a, b| b.0.total_cmp(&a.0));
        near.truncate(NEAREST);
    }
    let own = likeness(asked, asked);
    let alone = Expected {
        tpot: 0.0,
        ttft: 0.0,
        deviation: (own + noise(asked.split)).sqrt(),
    };
    let size = near.len();
    let mut matrix = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..=row {
            let common = likeness(near[row].1, near[column].1);
            matrix[row * size + column] = common;
            matrix[column * size + row] = common;
        }
        matrix[row * size + row] += noise(asked.split);
    }
    let Some(cholesky) = Cholesky::of(matrix, size) else {
        return alone;
    };
    let common: Vec<f64> = near.iter().map(|(common, _)| *common).collect();
    let half = cholesky.half(&common);
    let explained = dot(&half, &half);
    let of = |left: fn(&Left) -> f64| {
        let values: Vec<f64> = near.iter().map(|(_, other)| left(other)).collect();
        dot(&half, &cholesky.half(&values))
    };
    Expected {
        tpot: of(|left| left.tpot),
        ttft: of(|left| left.ttft),
        deviation: ((own - explained).max(0.0) + noise(asked.split)).sqrt(),
    }
}
