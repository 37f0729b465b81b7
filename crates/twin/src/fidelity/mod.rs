//! How true the engine model is: predictions for measured rows, coefficients fitted on them, and the error of both.
//!
//! Data sheet first: the closed form of the catalogue, with coefficients of each engine. Then what is left, interpolated between
//! measurements that resemble what is asked about. Far from all of them nothing is left but the first, and the band is wide.

mod calibrate;
mod first;
mod fit;
mod guessing;
mod judge;
mod kriging;
mod least;
mod linear;
mod physics;
mod predict;
pub mod requests;
mod rows;
mod setting;
#[cfg(test)]
mod tests;
mod tuned;

pub use calibrate::{CalibrateError, Calibration, calibrate};
pub use judge::{Judged, Judgement, cross_validate, leave_out};
pub use predict::{Prediction, measured_times, predict};
pub use rows::{EngineRow, RowsError, engine_rows};
pub use tuned::{Tuned, TunedRow, banded, tuned};

/// The rows of a table that is part of the program.
fn shipped_rows<T: serde::de::DeserializeOwned>(csv: &str) -> Vec<T> {
    csv::Reader::from_reader(csv.as_bytes())
        .deserialize()
        .collect::<Result<_, _>>()
        .expect("the shipped table is read by a test")
}
