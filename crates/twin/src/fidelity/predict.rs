//! Times of a row, with the band that holds nine of ten.

use super::calibrate::Calibration;
use super::kriging::{Left, expected};
use super::physics::times;
use super::rows::EngineRow;
use super::setting::Setting;
use madang_catalog::Catalog;
use serde::Serialize;

/// Nine of ten values of a normal distribution lie within so many standard deviations.
const NINE_OF_TEN: f64 = 1.645;
/// What is guessed makes the band wider, each guess by this factor.
const GUESSED: f64 = 1.25;
/// First tokens scatter more than the others: their band is so many times as wide, as a logarithm.
const FIRST_WIDER: f64 = 1.6;
/// The band is no wider for more guesses than these; it is as wide where the weights have no room.
const GUESSES_MAX: i32 = 4;

/// What is predicted of a row. Bands hold nine of ten measurements; times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// The row's own name.
    pub id: String,
    /// Time to the first token.
    pub ttft_ms: f64,
    /// Its band's lower end.
    pub ttft_low_ms: f64,
    /// Its band's upper end.
    pub ttft_high_ms: f64,
    /// Time of each further token.
    pub tpot_ms: f64,
    /// Its band's lower end.
    pub tpot_low_ms: f64,
    /// Its band's upper end.
    pub tpot_high_ms: f64,
    /// Accelerators of the engine, or of each that decodes.
    pub accelerators: u32,
    /// The weights and a token have room on the accelerators. Where they have not, times are those of accelerators of the same speed
    /// with enough memory.
    pub fits: bool,
    /// Why they have no room, and what to do.
    pub note: Option<String>,
    /// What the row does not say, or the catalogue does not know, and what was taken instead.
    pub guessed: Vec<String>,
}

/// How many times as long a token takes as the closed form says, by measured rows that resemble this one; 1 far from all of them.
pub fn measured_times(calibration: &Calibration, catalog: &Catalog, row: &EngineRow) -> f64 {
    let setting = Setting::of(row, catalog);
    let left = expected(&calibration.left, &Left::new(&setting, 0.0, 0.0));
    left.tpot.exp()
}

/// Predicts a row; what it says about measured times is not looked at.
pub fn predict(calibration: &Calibration, catalog: &Catalog, row: &EngineRow) -> Prediction {
    let setting = Setting::of(row, catalog);
    let own = calibration.coefficients(setting.engine());
    let times = times(&setting, own);
    let left = expected(&calibration.left, &Left::new(&setting, 0.0, 0.0));
    let guesses = i32::try_from(setting.guesses.len()).unwrap_or(i32::MAX);
    let note = setting.no_room().map(|error| error.to_string());
    let guesses = match note {
        Some(_) => GUESSES_MAX,
        None => guesses.min(GUESSES_MAX),
    };
    let deviation = left.deviation * GUESSED.powi(guesses);
    // Errors count as parts of the truth. Where prompts have engines of their own and much is open, the value that keeps them
    // least is below the middle.
    let open = if setting.split {
        left.deviation.powi(2).min(0.3)
    } else {
        0.0
    };
    let tpot_ms = times.tpot_ms * (left.tpot - open).exp();
    let middle_ms = tpot_ms * open.exp();
    let ttft_ms = calibration.first.ttft_ms(&setting, &times) * left.ttft.exp();
    let wide = (NINE_OF_TEN * deviation).exp();
    let wider = wide.powf(FIRST_WIDER);
    Prediction {
        id: row.id.clone(),
        ttft_ms,
        ttft_low_ms: ttft_ms / wider,
        ttft_high_ms: ttft_ms * wider,
        tpot_ms,
        tpot_low_ms: middle_ms / wide,
        tpot_high_ms: middle_ms * wide,
        accelerators: setting.deployment.parallel.accelerators(),
        fits: note.is_none(),
        note,
        guessed: setting.guesses,
    }
}
