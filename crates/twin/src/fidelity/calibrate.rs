//! Coefficients of engines from measured rows, and what they leave of each row.

use super::first::FirstToken;
use super::fit::fit;
use super::kriging::Left;
use super::physics::{Times, times};
use super::rows::EngineRow;
use super::setting::Setting;
use crate::stats::percentile;
use crate::trace::unpacked_text;
use flate2::Compression;
use flate2::write::GzEncoder;
use madang_catalog::{Catalog, Coefficients, EngineKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thiserror::Error;

const SHIPPED: &[u8] = include_bytes!("../../data/calibration.json.gz");
/// Rows without which there is nothing to fit.
const ROWS_MIN: usize = 20;
/// How much wider the band is for chips that no row is of, as a logarithm: chosen, not measured.
const ELSEWHERE: f64 = 1.5;

/// Why there is no calibration.
#[derive(Debug, Error)]
pub enum CalibrateError {
    /// Too little.
    #[error("{0} rows say both ttft_ms and tpot_ms: at least {ROWS_MIN} are needed")]
    Few(usize),
    /// A file that holds none.
    #[error("it is no calibration: {0}")]
    Unreadable(String),
}

fn unreadable(problem: impl ToString) -> CalibrateError {
    CalibrateError::Unreadable(problem.to_string())
}

/// What was learnt from measurements.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Calibration {
    /// Of each engine.
    pub engines: Vec<Coefficients>,
    /// Of times to the first token.
    pub(super) first: FirstToken,
    /// What the closed form leaves of each row.
    pub left: Vec<Left>,
}

impl Calibration {
    /// What ships: fitted on the public rows that crates/twin/data/README.md names.
    ///
    /// # Errors
    /// It is broken; a test says that it is not.
    pub fn shipped() -> Result<Self, CalibrateError> {
        Self::of_bytes(SHIPPED)
    }

    /// Reads what [`Calibration::to_bytes`] wrote.
    ///
    /// # Errors
    /// It is something else.
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, CalibrateError> {
        let text = unpacked_text(bytes).map_err(unreadable)?;
        let calibration: Self = serde_json::from_str(&text).map_err(unreadable)?;
        if calibration.engines.is_empty() {
            return Err(unreadable("no engine is in it"));
        }
        Ok(calibration)
    }

    /// JSON, packed by gzip.
    ///
    /// # Errors
    /// A number cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CalibrateError> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        serde_json::to_writer(&mut packer, self).map_err(unreadable)?;
        packer.finish().map_err(unreadable)
    }

    /// The coefficients as the catalogue has them.
    ///
    /// # Errors
    /// A number cannot be written.
    pub fn table(&self) -> Result<String, CalibrateError> {
        let mut table = csv::Writer::from_writer(Vec::new());
        for own in &self.engines {
            table.serialize(own).map_err(unreadable)?;
        }
        let bytes = table.into_inner().map_err(unreadable)?;
        String::from_utf8(bytes).map_err(unreadable)
    }

    /// Of one engine; of vLLM where none is its own.
    pub(super) fn coefficients(&self, engine: EngineKind) -> &Coefficients {
        let of_it = self.engines.iter().find(|own| own.engine == engine);
        of_it
            .or(self.engines.first())
            .expect("a calibration has engines")
    }
}

/// Fits coefficients, and keeps what they leave. Rows that say no times are passed over.
///
/// # Errors
/// There are too few rows.
pub fn calibrate(
    catalog: &Catalog,
    rows: &[EngineRow],
    source: &str,
) -> Result<Calibration, CalibrateError> {
    let measured: Vec<(Setting, f64, f64)> = rows
        .iter()
        .filter_map(|row| Some((Setting::of(row, catalog), row.tpot_ms?, row.ttft_ms?)))
        .collect();
    if measured.len() < ROWS_MIN {
        return Err(CalibrateError::Few(measured.len()));
    }
    let tokens: Vec<(&Setting, f64)> = measured
        .iter()
        .map(|(setting, tpot_ms, _)| (setting, *tpot_ms))
        .collect();
    let mut calibration = Calibration {
        engines: fit(&tokens),
        first: FirstToken::default(),
        left: Vec::with_capacity(measured.len()),
    };
    let said: Vec<(&Setting, Times, f64)> = measured
        .iter()
        .map(|(setting, _, ttft_ms)| {
            let own = calibration.coefficients(setting.engine());
            (setting, times(setting, own), *ttft_ms)
        })
        .collect();
    calibration.first = FirstToken::fit(&said);
    for ((setting, said, ttft_ms), (_, tpot_ms, _)) in said.iter().zip(&measured) {
        let left = Left::new(
            setting,
            (tpot_ms / said.tpot_ms).ln(),
            (ttft_ms / calibration.first.ttft_ms(setting, said)).ln(),
        );
        calibration.left.push(left);
    }
    for own in &mut calibration.engines {
        label(own, &measured, source);
    }
    Ok(calibration)
}

/// Says what the coefficients of an engine are from.
fn label(own: &mut Coefficients, measured: &[(Setting, f64, f64)], source: &str) {
    let of_it = measured
        .iter()
        .filter(|(setting, ..)| setting.engine() == own.engine);
    let mut errors: Vec<f64> = of_it
        .clone()
        .map(|(setting, tpot_ms, _)| (times(setting, own).tpot_ms / tpot_ms).ln().abs())
        .collect();
    errors.sort_by(f64::total_cmp);
    let ninth = percentile(&errors, 900).unwrap_or(0.7);
    let names = |name: fn(&Setting) -> &String| {
        let names: BTreeSet<&str> = of_it
            .clone()
            .map(|(setting, ..)| name(setting).as_str())
            .collect();
        names.into_iter().collect::<Vec<_>>().join("|")
    };
    own.chips = names(|setting| &setting.deployment.chip.name);
    own.models = names(|setting| &setting.deployment.model.name);
    own.band = ninth.exp();
    own.band_elsewhere = (ELSEWHERE * ninth).exp();
    own.rows = u32::try_from(errors.len()).unwrap_or(u32::MAX);
    own.source = source.to_owned();
}
