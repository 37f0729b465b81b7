//! How wrong predictions are on rows that they were not fitted on.

use super::calibrate::{CalibrateError, calibrate};
use super::predict::{Prediction, predict};
use super::rows::EngineRow;
use crate::random::Random;
use crate::stats::percentile;
use madang_catalog::Catalog;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Errors of one quantity, as parts of what was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Judged {
    /// Half are below.
    pub median: f64,
    /// Their mean.
    pub mean: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// The part of measurements that lie in the band for nine of ten.
    pub in_band: f64,
}

/// Errors of predictions on rows that were left out.
#[derive(Clone, Debug, Serialize)]
pub struct Judgement {
    /// What was left out.
    pub left_out: String,
    /// Rows that were predicted.
    pub rows: usize,
    /// Time of a token.
    pub tpot: Judged,
    /// Time to the first token.
    pub ttft: Judged,
    /// Time of a token, where one engine does both.
    pub tpot_together: Judged,
    /// Time of a token, where prompts have engines of their own.
    pub tpot_split: Judged,
}

/// Each fold is predicted from the others. With `whole`, repeated measurements of one setting stay in one fold.
///
/// # Errors
/// There are too few rows to fit.
pub fn cross_validate(
    catalog: &Catalog,
    rows: &[EngineRow],
    (folds, whole): (u64, bool),
    seed: u64,
) -> Result<Judgement, CalibrateError> {
    let mut random = Random::new(seed, 7);
    let mut of_setting: BTreeMap<String, u64> = BTreeMap::new();
    let fold_of: Vec<u64> = rows
        .iter()
        .map(|row| {
            let fold = random.below(folds);
            if whole {
                *of_setting.entry(setting_key(row)).or_insert(fold)
            } else {
                fold
            }
        })
        .collect();
    let mut pairs = Vec::new();
    for fold in 0..folds {
        let out = |at: &usize| fold_of.get(*at) == Some(&fold);
        pairs.extend(predicted(catalog, rows, out)?);
    }
    let name = if whole {
        format!("one of {folds} parts, settings whole")
    } else {
        format!("one of {folds} parts")
    };
    Ok(judged(name, &pairs))
}

/// All rows with one value of `key` are predicted from the others, for each value in turn.
///
/// # Errors
/// There are too few rows to fit.
pub fn leave_out(
    catalog: &Catalog,
    rows: &[EngineRow],
    key: fn(&EngineRow) -> String,
) -> Result<Vec<Judgement>, CalibrateError> {
    let keys: Vec<String> = rows.iter().map(key).collect();
    let each: BTreeSet<&String> = keys.iter().collect();
    each.into_iter()
        .map(|left_out| {
            let out = |at: &usize| keys.get(*at) == Some(left_out);
            let pairs = predicted(catalog, rows, out)?;
            Ok(judged(left_out.clone(), &pairs))
        })
        .collect()
}

/// What makes two rows measurements of the same thing.
fn setting_key(row: &EngineRow) -> String {
    let side = |side: &super::rows::Side| {
        format!(
            "{:?}{:?}{:?}{:?}{:?}",
            side.workers, side.batch, side.tensor, side.data, side.expert
        )
    };
    format!(
        "{}|{}|{}|{}|{}|{}|{}|{}|{}",
        row.system,
        row.backend,
        row.model_path,
        row.precision,
        row.input_tokens,
        row.output_tokens,
        side(&row.own),
        side(&row.prefill),
        side(&row.decode)
    )
}

type Pair<'a> = (&'a EngineRow, Prediction);

fn predicted<'a>(
    catalog: &Catalog,
    rows: &'a [EngineRow],
    out: impl Fn(&usize) -> bool,
) -> Result<Vec<Pair<'a>>, CalibrateError> {
    let (asked, known): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|at| out(at));
    let known: Vec<EngineRow> = known
        .into_iter()
        .filter_map(|at| rows.get(at).cloned())
        .collect();
    let calibration = calibrate(catalog, &known, "")?;
    let asked = asked.into_iter().filter_map(|at| rows.get(at));
    Ok(asked
        .map(|row| (row, predict(&calibration, catalog, row)))
        .collect())
}

fn judged(left_out: String, pairs: &[Pair<'_>]) -> Judgement {
    let tpot = |keep: fn(&EngineRow) -> bool| {
        errors(
            pairs
                .iter()
                .filter(|(row, _)| keep(row))
                .filter_map(|(row, said)| {
                    Some((
                        row.tpot_ms?,
                        said.tpot_ms,
                        said.tpot_low_ms,
                        said.tpot_high_ms,
                    ))
                }),
        )
    };
    Judgement {
        left_out,
        rows: pairs.len(),
        tpot: tpot(|_| true),
        ttft: errors(pairs.iter().filter_map(|(row, said)| {
            Some((
                row.ttft_ms?,
                said.ttft_ms,
                said.ttft_low_ms,
                said.ttft_high_ms,
            ))
        })),
        tpot_together: tpot(|row| !row.split),
        tpot_split: tpot(|row| row.split),
    }
}

/// Of measured, predicted, and the band's ends.
fn errors(values: impl Iterator<Item = (f64, f64, f64, f64)>) -> Judged {
    let mut in_band = 0.0;
    let mut errors: Vec<f64> = values
        .map(|(measured, said, low, high)| {
            if (low..=high).contains(&measured) {
                in_band += 1.0;
            }
            (said / measured - 1.0).abs()
        })
        .collect();
    errors.sort_by(f64::total_cmp);
    let count = errors.len();
    if count == 0 {
        return Judged::default();
    }
    let at = |permille| percentile(&errors, permille).unwrap_or(0.0);
    Judged {
        median: at(500),
        mean: errors.iter().sum::<f64>() / count as f64,
        p90: at(900),
        in_band: in_band / count as f64,
    }
}
